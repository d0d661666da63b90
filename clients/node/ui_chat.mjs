// The AI SDK's `DefaultChatTransport` with the `Chat` that `useChat` is made of, and the hook itself in a page.
import assert from "node:assert/strict";
import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport, isToolUIPart, lastAssistantMessageIsCompleteWithToolCalls } from "ai";
import { authorization, cases, cutUrl, cutWithin, eventually, url } from "./parlance.mjs";

let made = 0;
const run = Math.random().toString(36).slice(2);

/** A chat of its own name, or one that is known. */
function chat({ id = `chat ${run}/${(made += 1)} é`, base = url, headers = authorization, body, ...init } = {}) {
  const transport = new DefaultChatTransport({ api: `${base}/v1/ui/chat`, headers, body });
  return new Chat({ id, transport, ...init });
}

const path = (id, rest = "") => `${url}/v1/ui/chat/${encodeURIComponent(id)}${rest}`;
const textOf = (message) =>
  message.parts
    .filter((part) => part.type === "text" && !part.providerMetadata?.parlance?.void)
    .map((part) => part.text)
    .join("");

async function stored(id) {
  const response = await fetch(path(id), { headers: authorization });
  assert.equal(response.status, 200);
  return response.json();
}

/** The chat's stored messages once its last reply is among them. */
async function recorded(id, length) {
  return eventually(`${length} messages`, async () => {
    const { messages, running } = await stored(id);
    return !running && messages.length >= length && messages;
  });
}

const stop = (id) => fetch(path(id, "/stop"), { method: "POST", headers: authorization });
const firstWords = (it) => eventually("first words", () => it.lastMessage?.role === "assistant" && textOf(it.lastMessage));

await cases({
  async "a chat of two turns, and its history"() {
    const progress = [];
    const it = chat({ onData: (part) => part.type === "data-progress" && progress.push(part.data.state) });
    await it.sendMessage({ text: "hello [[mock tokens=30]]" });
    assert.equal(it.error, undefined);
    assert.equal(it.status, "ready");
    const reply = it.messages[1];
    assert.equal(reply.role, "assistant");
    assert.deepEqual(reply.parts.map((part) => part.type), ["step-start", "text"]);
    assert.ok(progress.includes("running") && progress.at(-1) === "completed", progress.join());
    await it.sendMessage({ text: "again [[mock tokens=5 echo=1]]" });
    assert.ok(textOf(it.messages[3]).startsWith("messages=3 "), "the first turn is part of the prompt");
    const history = await recorded(it.id, 4);
    assert.deepEqual(history.map(({ role }) => role), ["user", "assistant", "user", "assistant"]);
    assert.equal(history[1].id, reply.id, "a reply has the same id while it comes and later");
    assert.deepEqual(history.map(textOf), it.messages.map(textOf));
    const list = await (await fetch(path(it.id, "/messages"), { headers: authorization })).json();
    assert.deepEqual(list, history);
    // A page that loads the history goes on from there.
    const later = chat({ id: it.id, messages: history });
    await later.sendMessage({ text: "third [[mock tokens=5 echo=1]]" });
    assert.ok(textOf(later.lastMessage).startsWith("messages=5 "));
  },

  async "the same message sent again is the same reply"() {
    const id = `same ${run}`;
    const message = { id: "m1", role: "user", parts: [{ type: "text", text: "once [[mock tokens=40 delay_ms=5 vary=1]]" }] };
    const post = async () => {
      const body = JSON.stringify({ id, messages: [message], trigger: "submit-message" });
      const headers = { ...authorization, "content-type": "application/json" };
      const response = await fetch(`${url}/v1/ui/chat`, { method: "POST", headers, body });
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("x-vercel-ai-ui-message-stream"), "v1");
      const frames = (await response.text()).split("\n\n").filter((frame) => frame.startsWith("data: {"));
      const chunks = frames.map((frame) => JSON.parse(frame.slice(6)));
      return chunks.filter(({ type }) => type === "text-delta").map(({ delta }) => delta).join("");
    };
    const [first, second] = await Promise.all([post(), post()]);
    assert.ok(first.length > 40);
    assert.equal(second, first);
    assert.equal(await post(), first);
    const messages = await recorded(id, 2);
    assert.equal(messages.length, 2);
    assert.equal(textOf(messages[1]), first);
  },

  async "cut at random points and resumed, hundreds of times"() {
    const before = await cutWithin(0);
    let [cuts, whole] = [before, 0];
    for (let round = 0; cuts - before < 200; round += 1) {
      assert.ok(round < 500);
      const it = chat({ base: cutUrl });
      await cutWithin(4_000);
      await it.sendMessage({ text: `cut ${round} äöü€😀 [[mock tokens=60 delay_ms=3]]` });
      // A resume reads from the start, so it gets through at some time, or is told that nothing runs any more.
      for (let tries = 0; it.error; tries += 1) {
        assert.ok(tries < 100);
        if (it.lastMessage.role === "assistant") await it.resumeStream();
        else await it.regenerate();
      }
      cuts = await cutWithin(0);
      const history = await recorded(it.id, 2);
      assert.equal(history.length, 2, "one message, one reply, however often it was sent");
      const [shown, text] = [textOf(it.lastMessage), textOf(history[1])];
      // A reply that ended while nobody listened is found in the history.
      assert.ok(text.startsWith(shown), `${shown} is not the start of ${text}`);
      whole += shown === text;
    }
    assert.ok(whole > 0);
    console.log(`  ${cuts - before} cuts, ${whole} replies came whole`);
  },

  async "a page that comes in the middle has the whole reply"() {
    const it = chat();
    const sending = it.sendMessage({ text: "long [[mock tokens=200 delay_ms=10]]" });
    await firstWords(it);
    const page = chat({ id: it.id, messages: (await stored(it.id)).messages });
    await page.resumeStream();
    await sending;
    assert.equal(page.error, undefined);
    assert.equal(page.lastMessage.id, it.lastMessage.id);
    assert.equal(textOf(page.lastMessage), textOf(it.lastMessage));
    // Nothing runs any more: 204, and nothing changes.
    const messages = page.messages.length;
    await page.resumeStream();
    assert.equal(page.status, "ready");
    assert.equal(page.messages.length, messages);
    const idle = await fetch(path(it.id, "/stream"), { headers: authorization });
    assert.equal(idle.status, 204);
  },

  async "found by the message's id at once"() {
    const it = chat();
    const sending = it.sendMessage({ text: "find [[mock tokens=100 delay_ms=5]]" });
    await eventually("it was sent", () => it.messages.length > 0);
    await firstWords(it);
    const query = `?message_id=${encodeURIComponent(it.messages[0].id)}`;
    const response = await fetch(path(it.id, `/stream${query}`), { headers: authorization });
    assert.equal(response.status, 200);
    await response.body.cancel();
    await sending;
    const never = await fetch(path(it.id, "/stream?message_id=never"), { headers: authorization });
    assert.equal(never.status, 204, "a message that never arrived is not waited for");
  },

  async "a stop keeps what was said; the reply is told as aborted"() {
    const it = chat();
    const sending = it.sendMessage({ text: "stop [[mock tokens=3000 delay_ms=5]]" });
    await firstWords(it);
    const answer = await (await stop(it.id)).json();
    assert.equal(answer.stopped.length, 1);
    await sending;
    assert.equal(it.status, "ready");
    const history = await recorded(it.id, 2);
    assert.equal(textOf(it.lastMessage), textOf(history[1]));
    assert.equal(history[1].metadata.status, "cancelled");
    assert.equal((await (await stop(it.id)).json()).stopped.length, 0);
  },

  async "hanging up leaves the reply to come, and it is there later"() {
    const it = chat();
    const sending = it.sendMessage({ text: "background [[mock tokens=80 delay_ms=5]]" });
    await firstWords(it);
    await it.stop();
    await sending;
    const history = await recorded(it.id, 2);
    assert.ok(textOf(history[1]).length > textOf(it.lastMessage).length);
    assert.equal(history[1].metadata.status, "completed");
  },

  async "another reply to the last message, and to an earlier one"() {
    const it = chat();
    await it.sendMessage({ text: "first [[mock tokens=20 vary=1]]" });
    const first = it.lastMessage;
    await it.regenerate();
    assert.equal(it.error, undefined);
    assert.equal(it.messages.length, 2);
    assert.notEqual(it.lastMessage.id, first.id);
    assert.notEqual(textOf(it.lastMessage), textOf(first));
    await it.regenerate();
    assert.equal(it.error, undefined, it.error?.message);
    // The record comes behind the reply: until then the chat has the one before.
    const isLatest = async () => {
      const { messages } = await stored(it.id);
      return messages.length === 2 && messages[1].id === it.lastMessage.id && messages;
    };
    let history = await eventually("the latest reply", isLatest);
    await it.sendMessage({ text: "second [[mock tokens=5]]" });
    await it.regenerate({ messageId: it.messages[1].id });
    assert.equal(it.error, undefined, it.error?.message);
    history = await eventually("the branch", isLatest);
    assert.equal(textOf(history[1]), textOf(it.lastMessage));
  },

  async "an edited message, twice, also one of a loaded history"() {
    const it = chat();
    await it.sendMessage({ text: "one [[mock tokens=5]]" });
    const messageId = it.messages[0].id;
    for (const text of ["two [[mock tokens=5 echo=1]]", "three [[mock tokens=6 echo=1]]"]) {
      await it.sendMessage({ text, messageId });
      assert.equal(it.error, undefined, it.error?.message);
      assert.equal(it.messages.length, 2);
      assert.ok(textOf(it.lastMessage).startsWith("messages=1 "), textOf(it.lastMessage));
    }
    const history = await eventually("the edit", async () => {
      const { messages, running } = await stored(it.id);
      return !running && messages.length === 2 && textOf(messages[0]).startsWith("three") && messages;
    });
    const page = chat({ id: it.id, messages: history });
    await page.sendMessage({ text: "four [[mock tokens=5 echo=1]]", messageId: history[0].id });
    assert.equal(page.error, undefined, page.error?.message);
    assert.ok(textOf(page.lastMessage).startsWith("messages=1 "));
  },

  async "tools: a call, its result, and the reply that goes on, as one message"() {
    const called = [];
    const it = chat({
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
      async onToolCall({ toolCall }) {
        called.push(toolCall);
        it.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: { degrees: 7 } });
      },
    });
    await it.sendMessage({ text: 'weather [[mock tokens=10 tool=weather args={"city":"Oslo"}]]' });
    await eventually("it went on", () => it.status === "ready" && it.lastMessage.parts.at(-1).type === "text");
    assert.equal(it.error, undefined, it.error?.message);
    assert.equal(called.length, 1);
    assert.deepEqual(called[0].input, { city: "Oslo" });
    assert.equal(it.messages.length, 2, "one message of two steps");
    const tool = it.lastMessage.parts.find(isToolUIPart);
    assert.equal(tool.state, "output-available");
    const history = await eventually("both steps", async () => {
      const { messages } = await stored(it.id);
      return messages.length === 2 && messages[1].parts.at(-1).type === "text" && messages[1].parts.length >= 4 && messages;
    });
    assert.equal(history[1].id, it.lastMessage.id);
    const shape = (message) => message.parts.map((part) => [part.type, part.text, part.output]);
    assert.deepEqual(shape(history[1]), shape(it.lastMessage));
    await it.sendMessage({ text: "and now [[mock tokens=5 echo=1]]" });
    assert.equal(it.error, undefined, it.error?.message);
  },

  async "an attempt that was given up is marked, and gone at the next look"() {
    const resets = [];
    const it = chat({ onData: (part) => part.type === "data-reset" && resets.push(part.data) });
    await it.sendMessage({ text: "again [[mock tokens=40 vary=1 fault=cut_mid_stream after=10 times=1]]" });
    assert.equal(it.error, undefined, it.error?.message);
    const texts = it.lastMessage.parts.filter(({ type }) => type === "text");
    assert.equal(texts.length, 2);
    assert.equal(texts[0].providerMetadata.parlance.void, true);
    assert.equal(resets.length, 1);
    const history = await recorded(it.id, 2);
    assert.equal(textOf(it.lastMessage), textOf(history[1]), "without the void part it is the stored text");
  },

  async "each class of error is a sentence"() {
    const errorOf = async (it, message) => {
      await it.sendMessage(message);
      assert.equal(it.status, "error");
      return it.error.message;
    };
    assert.match(await errorOf(chat(), { text: "refused [[mock fault=http_401]]" }), /\w+.*\.$/);
    assert.match(await errorOf(chat(), { text: " " }), /must not be blank/);
    assert.match(await errorOf(chat({ body: { model: "" } }), { text: "hi" }), /^model: /);
    assert.match(await errorOf(chat({ id: "x".repeat(300) }), { text: "hi" }), /^id: /);
    const pdf = { type: "file", mediaType: "application/pdf", url: "data:application/pdf;base64,AAAA" };
    assert.match(await errorOf(chat(), { files: [pdf] }), /must be an image/);
    // After an error the same message can be sent once more.
    const it = chat();
    await it.sendMessage({ text: "soon well [[mock tokens=5 fault=http_401 times=1]]" });
    assert.equal(it.status, "error");
    await it.regenerate();
    assert.equal(it.error, undefined, it.error?.message);
    assert.ok(textOf(it.lastMessage));
    assert.equal(it.messages.length, 2);
    const problem = await fetch(`${url}/v1/ui/chat`, { method: "POST", headers: authorization, body: "{}" });
    assert.equal(problem.status, 415);
    assert.match(problem.headers.get("content-type"), /^text\/plain/);
    assert.equal(problem.headers.get("x-problem-code"), "unsupported_media_type");
  },

  async "without the key, or with a wrong one, nothing is told"() {
    for (const [headers, status] of [[{}, 401], [{ authorization: "Bearer plk_wrong" }, 403]]) {
      const it = chat({ headers });
      await it.sendMessage({ text: "hi" });
      assert.equal(it.status, "error");
      assert.match(it.error.message, /\.$/);
      assert.ok(!it.error.message.includes("{"), it.error.message);
      const answer = await fetch(path("any", "/stream"), { headers });
      assert.equal(answer.status, status);
    }
  },

  async "a deleted chat is gone"() {
    const it = chat();
    await it.sendMessage({ text: "bye [[mock tokens=5]]" });
    const answer = await fetch(path(it.id), { method: "DELETE", headers: authorization });
    assert.equal(answer.status, 204);
    for (const rest of ["", "/messages", "/stream"]) {
      assert.equal((await fetch(path(it.id, rest), { headers: authorization })).status, 404, rest);
    }
    await it.sendMessage({ text: "still there?" });
    assert.equal(it.status, "error");
  },

  async "the hook in a page"() {
    const { JSDOM } = await import("jsdom");
    const { window } = new JSDOM("<!doctype html><div id=root></div>");
    const { document, navigator } = window;
    Object.assign(globalThis, { window, document, navigator, IS_REACT_ACT_ENVIRONMENT: false });
    const { createElement } = await import("react");
    const { createRoot } = await import("react-dom/client");
    const { useChat } = await import("@ai-sdk/react");
    let now;
    const Page = ({ id, messages, resume }) => {
      const transport = new DefaultChatTransport({ api: `${url}/v1/ui/chat`, headers: authorization });
      now = useChat({ id, transport, messages, resume });
      return createElement("p", null, now.messages.map((message) => message.parts.map((part) => part.text ?? "").join("")).join("\n"));
    };
    const root = createRoot(document.getElementById("root"));
    const id = `hook ${run}`;
    root.render(createElement(Page, { id }));
    await eventually("rendered", () => now);
    now.sendMessage({ text: "in a page [[mock tokens=400 delay_ms=10]]" });
    await eventually("first words", () => now.messages.length === 2);
    // The page is left and opened again while the reply comes.
    // The record comes behind what was accepted.
    const messages = await eventually("the question is recorded", async () => {
      const { messages } = await stored(id);
      return messages.length > 0 && messages;
    });
    root.render(createElement(Page, { id, key: "again", messages, resume: true }));
    await eventually("the end", () => now.status === "ready" && now.messages.length === 2 && now.messages[1].parts.length > 1);
    const history = await recorded(id, 2);
    await eventually("shown", () => document.querySelector("p").textContent === history.map(textOf).join("\n"));
    root.unmount();
  },
});
