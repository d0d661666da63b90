// `eventsource-parser` on the native stream, which is cut at random byte positions and resumed from the last event's id.
import assert from "node:assert/strict";
import { createParser } from "eventsource-parser";
import { authorization, call, cases, cutUrl, cutWithin, ended, say } from "./parlance.mjs";

const TERMINAL = ["done", "failed", "cancelled"];

/** Follows a task to its end, however often the connection breaks. */
async function follow(task, base) {
  const seen = { text: "", ids: [], end: null, connections: 0 };
  let lastEventId;
  while (!seen.end) {
    seen.connections += 1;
    assert.ok(seen.connections < 5_000, "it makes no progress");
    // What comes behind a cut is a fragment: a parser of its own for each connection.
    const parser = createParser({
      onEvent({ event, id, data }) {
        assert.ok(id && !seen.ids.includes(id), `the id ${id} came twice`);
        seen.ids.push(id);
        lastEventId = id;
        const value = JSON.parse(data);
        if (event === "delta") seen.text += value.text;
        if (event === "reset") seen.text = "";
        if (TERMINAL.includes(event)) seen.end = { event, task: value };
      },
      onError(error) {
        throw error;
      },
    });
    try {
      const headers = { ...authorization, ...(lastEventId ? { "last-event-id": lastEventId } : {}) };
      const response = await fetch(`${base}/v1/tasks/${task}/stream`, { headers });
      if (response.status === 204) break;
      assert.equal(response.status, 200);
      const decoder = new TextDecoder();
      for await (const chunk of response.body) parser.feed(decoder.decode(chunk, { stream: true }));
    } catch (error) {
      if (error.code === "ERR_ASSERTION") throw error;
    }
  }
  return seen;
}

await cases({
  async "a stream to its end"() {
    const { task_id } = await say("plain [[mock tokens=200]]");
    const seen = await follow(task_id, cutUrl);
    const task = await ended(task_id);
    assert.equal(seen.end.event, "done");
    assert.equal(seen.connections, 1);
    assert.ok(task.reply.content.length > 200);
    assert.equal(seen.text, task.reply.content);
  },

  async "cut hundreds of times while the reply comes and after it"() {
    let cuts = await cutWithin(2_500);
    const before = cuts;
    for (let round = 0; cuts - before < 220; round += 1) {
      assert.ok(round < 100);
      const { task_id } = await say(`cut ${round} äöü€😀 [[mock tokens=100 delay_ms=${round % 2}]]`);
      const seen = await follow(task_id, cutUrl);
      await cutWithin(2_500);
      assert.equal(seen.end.event, "done");
      assert.equal(seen.text, (await ended(task_id)).reply.content);
      // Once more from the start, now that it is over.
      const again = await follow(task_id, cutUrl);
      assert.equal(again.text, seen.text);
      cuts = await cutWithin(2_500);
    }
    console.log(`  ${cuts - before} cuts`);
    await cutWithin(0);
  },

  async "a cancel in the middle keeps what was said"() {
    const { task_id } = await say("long [[mock tokens=3000 delay_ms=5]]");
    const following = follow(task_id, cutUrl);
    for (;;) {
      const { body } = await call("GET", `/v1/tasks/${task_id}`);
      if (body.reply.content.length > 50) break;
    }
    await call("POST", `/v1/tasks/${task_id}/cancel`);
    const seen = await following;
    assert.equal(seen.end.event, "cancelled");
    assert.equal(seen.text, (await ended(task_id)).reply.content);
  },

  async "a task that went on in the background is there later"() {
    const { task_id } = await say("background [[mock tokens=40 delay_ms=3]]");
    const task = await ended(task_id);
    assert.equal((await follow(task_id, cutUrl)).text, task.reply.content);
  },

  async "each class of error"() {
    const refused = await say("refused [[mock fault=http_401]]");
    const seen = await follow(refused.task_id, cutUrl);
    assert.equal(seen.end.event, "failed");
    assert.ok(seen.end.task.error.code && seen.end.task.error.message, JSON.stringify(seen.end.task));
    const unknown = await fetch(`${cutUrl}/v1/tasks/tsk_nothing/stream`, { headers: authorization });
    assert.equal(unknown.status, 404);
    const cursor = { ...authorization, "last-event-id": "nonsense" };
    const bad = await fetch(`${cutUrl}/v1/tasks/${refused.task_id}/stream`, { headers: cursor });
    assert.equal(bad.status, 400);
    assert.equal((await bad.json()).code, "unknown_cursor");
  },
});
