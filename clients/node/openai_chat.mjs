// OpenAI's own client for Node on `/v1/chat/completions`.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import OpenAI from "openai";
import { call, cases, cutUrl, cutWithin, ended, eventually, key, url } from "./parlance.mjs";

const clientOf = (base, more) =>
  new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0, timeout: 90_000, ...more });
const client = clientOf(url);
const cutClient = clientOf(cutUrl);

const user = (text) => [{ role: "user", content: text }];
const taskOf = (id) => id.replace("chatcmpl-", "tsk_");

async function retrieved(id) {
  await ended(taskOf(id));
  return client.chat.completions.retrieve(id);
}

/** What a stream says, until it ends or fails. */
async function read(stream) {
  const seen = { text: "", id: null, reason: null, error: null };
  try {
    for await (const chunk of stream) {
      seen.id = chunk.id;
      for (const choice of chunk.choices) {
        seen.text += choice.delta.content ?? "";
        seen.reason = choice.finish_reason ?? seen.reason;
      }
    }
  } catch (error) {
    seen.error = error;
  }
  return seen;
}

async function fails(kind, code, ask) {
  try {
    await ask();
  } catch (error) {
    assert.equal(error.constructor, kind, error.stack);
    assert.equal(error.code, code, error.stack);
    return error;
  }
  assert.fail(`${code}: no error`);
}

await cases({
  async models() {
    const listed = [];
    for await (const model of client.models.list()) listed.push(model.id);
    assert.deepEqual(listed, ["mock-model"]);
    assert.equal((await client.models.retrieve("mock-model")).id, "mock-model");
  },

  async "a chat"() {
    const messages = [{ role: "developer", content: "Be brief." }, ...user("hello [[mock tokens=9]]")];
    const asked = client.chat.completions.create({ model: "mock-model", messages, temperature: 0.5, user: "u" });
    const { data, response, request_id } = await asked.withResponse();
    assert.equal(data.choices[0].finish_reason, "stop");
    assert.equal(data.usage.completion_tokens, 9);
    assert.equal(response.headers.get("x-task-id"), taskOf(data.id));
    assert.match(request_id, /^call_/);
    assert.equal((await retrieved(data.id)).choices[0].message.content, data.choices[0].message.content);
    assert.equal((await ended(taskOf(data.id))).reply.content, data.choices[0].message.content);
  },

  async "a stream with usage"() {
    const messages = user("stream äöü€😀 [[mock tokens=200]]");
    const options = { model: "mock-model", messages, stream: true, stream_options: { include_usage: true } };
    const chunks = [];
    for await (const chunk of await client.chat.completions.create(options)) chunks.push(chunk);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.equal(chunks.at(-1).usage.completion_tokens, 200);
    assert.equal(text, (await ended(taskOf(chunks[0].id))).reply.content);
    assert.ok(text.length > 200);
  },

  async "tools and a form"() {
    const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
    const messages = user('look it up [[mock tokens=3 tool=weather args={"city":"Zürich"}]]');
    const stream = client.chat.completions.stream({ model: "mock-model", messages, tools });
    const { message } = (await stream.finalChatCompletion()).choices[0];
    const [called] = message.tool_calls;
    assert.deepEqual([called.function.name, called.function.arguments], ["weather", '{"city":"Zürich"}']);
    const { id, type, function: { name, arguments: args } } = called;
    const result = { role: "tool", tool_call_id: id, content: "rain" };
    const calling = { role: "assistant", content: message.content, tool_calls: [{ id, type, function: { name, arguments: args } }] };
    const answer = await client.chat.completions.create({
      model: "mock-model", messages: [...messages, calling, result], response_format: { type: "json_object" },
    });
    assert.ok(answer.choices[0].message.content);
  },

  async "cut hundreds of times and asked again under the same key"() {
    let cuts = await cutWithin(6_000);
    const before = cuts;
    for (let round = 0; cuts - before < 220; round += 1) {
      assert.ok(round < 1_000, "nothing is cut");
      const options = { headers: { "idempotency-key": randomUUID() } };
      const messages = user(`cut ${round} äöü€😀 [[mock tokens=20 delay_ms=${round % 2}]]`);
      const parts = [];
      let id = null;
      let whole = null;
      for (let tries = 0; whole === null; tries += 1) {
        assert.ok(tries < 1_000, "it makes no progress");
        let stream;
        try {
          stream = await cutClient.chat.completions.create({ model: "mock-model", messages, stream: true }, options);
        } catch (error) {
          if (error instanceof OpenAI.APIConnectionError) continue;
          throw error;
        }
        const seen = await read(stream);
        assert.ok(!seen.id || !id || seen.id === id, "a key is one reply");
        id ??= seen.id;
        parts.push(seen.text);
        if (seen.reason) whole = seen.text;
      }
      await cutWithin(6_000);
      const stored = (await retrieved(id)).choices[0].message.content;
      assert.equal(whole, stored);
      for (const part of parts) assert.ok(stored.startsWith(part), `${part} is not the start of ${stored}`);
      cuts = await cutWithin(6_000);
    }
    console.log(`  ${cuts - before} cuts`);
    await cutWithin(0);
  },

  async "a client that leaves finds its reply later"() {
    const messages = user("leave [[mock tokens=60 delay_ms=5]]");
    const stream = await client.chat.completions.create({ model: "mock-model", messages, stream: true });
    let id;
    for await (const chunk of stream) {
      id = chunk.id;
      break;
    }
    await fails(OpenAI.ConflictError, "task_not_ended", () => client.chat.completions.retrieve(id));
    // The client's own retries wait for what is not complete.
    const whole = await client.chat.completions.retrieve(id, { maxRetries: 20 });
    assert.equal(whole.usage.completion_tokens, 60);
  },

  async "a cancel is an error and keeps what was said"() {
    const messages = user("long [[mock tokens=3000 delay_ms=5]]");
    const { data: stream, response } = await client.chat.completions
      .create({ model: "mock-model", messages, stream: true })
      .withResponse();
    const task = response.headers.get("x-task-id");
    const reading = read(stream);
    await eventually("it says something", async () => (await call("GET", `/v1/tasks/${task}`)).body.reply.content.length > 50);
    assert.equal((await call("POST", `/v1/tasks/${task}/cancel`)).status, 200);
    const seen = await reading;
    assert.equal(seen.reason, null);
    assert.ok(seen.error instanceof OpenAI.APIError, seen.error);
    assert.equal(seen.error.code, "cancelled");
    assert.equal(seen.text, (await ended(task)).reply.content);
  },

  async "another attempt is an error and never mixed"() {
    const messages = user("restart [[mock tokens=30 fault=cut_mid_stream after=7 times=1 vary=1]]");
    const seen = await read(await client.chat.completions.create({ model: "m", messages, stream: true }));
    assert.ok(seen.error instanceof OpenAI.APIError, seen.error);
    assert.equal(seen.error.code, "reply_restarted");
    const whole = (await retrieved(seen.id)).choices[0].message.content;
    assert.ok(seen.text && !whole.startsWith(seen.text), `${seen.text} and ${whole}`);
  },

  async "each class of error"() {
    const asking = (text, more, options) => () =>
      client.chat.completions.create({ model: "mock-model", messages: user(text), ...more }, options);
    const refused = await fails(OpenAI.BadRequestError, "invalid_field", asking("a", { n: 2 }));
    assert.deepEqual([refused.param, refused.type], ["n", "invalid_request_error"]);
    await fails(OpenAI.BadRequestError, "missing_field", asking("a", { messages: null }));
    await fails(OpenAI.BadRequestError, "context_length_exceeded", asking("[[mock fault=context_too_long]]"));
    await fails(OpenAI.NotFoundError, "model_not_found", asking("[[mock fault=http_404]]"));
    await fails(OpenAI.NotFoundError, "model_not_found", () => client.models.retrieve("nothing/of this"));
    await fails(OpenAI.NotFoundError, "task_not_found", () => client.chat.completions.retrieve("chatcmpl-1"));
    await fails(OpenAI.InternalServerError, "provider_unauthorized", asking("[[mock fault=http_401]]"));
    const headers = { "idempotency-key": randomUUID() };
    await asking("one [[mock tokens=3]]", {}, { headers })();
    // With retries: the server says that they can't help.
    const began = Date.now();
    const conflict = asking("two", {}, { headers, maxRetries: 5 });
    const error = await fails(OpenAI.ConflictError, "idempotency_key_reused", conflict);
    assert.equal(error.headers.get("x-should-retry"), "false");
    assert.ok(Date.now() - began < 2_000, "it was not tried five times");
  },
});
