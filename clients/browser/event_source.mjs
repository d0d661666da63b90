// A browser's own EventSource on the native stream: it comes back by itself with Last-Event-ID, and 204 stops it.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { call, cases, cutUrl, cutUrls, cutWithin, ended, say } from "../node/parlance.mjs";

/** A browser opens no more than six connections to a host and port; the others wait. */
const STREAMS_PER_URL = 5;

const browser = await chromium.launch({
  executablePath: process.env.PARLANCE_TEST_CHROMIUM,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
});
process.on("exit", () => browser.process?.()?.kill());
const page = await browser.newPage();
await page.goto(`${cutUrl}/blank`);

/** Follows a task as a page does that knows nothing of Parlance: it closes at no event and waits until the browser gives up. */
function follow(task, base = cutUrl) {
  return page.evaluate(async (url) => {
    const seen = { text: "", ids: [], end: null, opens: 0, errors: 0, readyState: null };
    const source = new EventSource(url);
    const onEvent = (event, act) =>
      source.addEventListener(event, (message) => {
        seen.ids.push(message.lastEventId);
        act(JSON.parse(message.data));
      });
    onEvent("status", () => {});
    onEvent("delta", ({ text }) => (seen.text += text));
    onEvent("reset", () => (seen.text = ""));
    for (const name of ["done", "failed", "cancelled"]) onEvent(name, (task) => (seen.end = { event: name, task }));
    source.onopen = () => (seen.opens += 1);
    await new Promise((over) => {
      source.onerror = () => {
        seen.errors += 1;
        if (source.readyState === EventSource.CLOSED) over();
      };
    });
    seen.readyState = source.readyState;
    return seen;
  }, `${base}/v1/tasks/${task}/stream`);
}

await cases({
  async "a stream to its end, where 204 stops it"() {
    const { task_id } = await say("plain [[mock tokens=100]]");
    const seen = await follow(task_id);
    assert.equal(seen.end.event, "done");
    assert.equal(seen.text, (await ended(task_id)).reply.content);
    assert.equal(new Set(seen.ids).size, seen.ids.length, "an event came twice");
    assert.equal(seen.opens, 1, "it came back once more and was told that there is nothing");
    assert.equal(seen.readyState, 2);
  },

  async "cut again and again, it comes back by itself"() {
    // The last event has the whole reply: what is cut always before its end is never over.
    const before = await cutWithin(5_000);
    // The browser waits a second before it comes back: only many streams at once are cut hundreds of times in a short while.
    const streams = cutUrls.flatMap((url) => Array.from({ length: STREAMS_PER_URL }, () => url));
    const all = await Promise.all(
      streams.map(async (url, number) => {
        const { task_id } = await say(`cut ${number} äöü€😀 [[mock tokens=300 delay_ms=25]]`);
        const seen = await follow(task_id, url);
        assert.equal(seen.end?.event, "done");
        assert.equal(seen.text, (await ended(task_id)).reply.content);
        assert.equal(new Set(seen.ids).size, seen.ids.length, "an event came twice");
        return seen;
      }),
    );
    const cuts = (await cutWithin(0)) - before;
    const opens = all.map((seen) => seen.opens);
    console.log(`  ${cuts} cuts of ${streams.length} streams, ${Math.min(...opens)} to ${Math.max(...opens)} connections each`);
    assert.ok(cuts >= 200, `${cuts} cuts`);
    assert.ok(Math.min(...opens) >= 2, "a stream was never cut");
  },

  async "a cancel"() {
    const { task_id } = await say("long [[mock tokens=3000 delay_ms=5]]");
    const following = follow(task_id);
    for (;;) {
      const { body } = await call("GET", `/v1/tasks/${task_id}`);
      if (body.reply.content.length > 50) break;
    }
    await call("POST", `/v1/tasks/${task_id}/cancel`);
    const seen = await following;
    assert.equal(seen.end.event, "cancelled");
    assert.equal(seen.text, (await ended(task_id)).reply.content);
  },

  async "a failed task, and one that is not there"() {
    const { task_id } = await say("refused [[mock fault=http_401]]");
    assert.equal((await follow(task_id)).end.event, "failed");
    const nothing = await follow("tsk_nothing");
    assert.equal(nothing.end, null);
    assert.equal(nothing.readyState, 2, "404 stops it for good");
  },
});
