// OpenAI's own client for Node on `/v1/responses`.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { cases, cutUrl, cutWithin, eventually, key, url } from "./parlance.mjs";

const clientOf = (base, more) =>
  new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0, timeout: 90_000, ...more });
const client = clientOf(url);
const cutClient = clientOf(cutUrl);
const ENDS = ["response.completed", "response.failed", "response.incomplete"];

/** What a client has seen of a response, over as many connections as it took. */
class Seen {
  constructor(id) {
    Object.assign(this, { id, texts: [], last: null, end: null, connections: 0 });
  }

  take(event) {
    assert.ok(this.last === null || event.sequence_number > this.last, `${this.last} ${JSON.stringify(event)}`);
    assert.equal(this.end, null);
    this.last = event.sequence_number;
    if (event.type === "response.output_text.delta") {
      this.texts[event.output_index] = (this.texts[event.output_index] ?? "") + event.delta;
    } else if (event.type === "response.output_item.done" && event.item.content?.length === 0) {
      this.texts[event.output_index] = "";
    } else if (ENDS.includes(event.type)) {
      this.end = event;
    }
  }

  text() {
    return this.texts.join("");
  }

  async follow(through) {
    while (!this.end) {
      this.connections += 1;
      assert.ok(this.connections < 5_000, "it makes no progress");
      const after = this.last === null ? {} : { starting_after: this.last };
      try {
        const stream = await through.responses.retrieve(this.id, { stream: true, ...after });
        for await (const event of stream) this.take(event);
      } catch (error) {
        if (error.code === "ERR_ASSERTION") throw error;
      }
    }
    return this;
  }
}

const ended = (id) =>
  eventually("the response ends", async () => {
    const response = await client.responses.retrieve(id);
    return ["queued", "in_progress"].includes(response.status) ? null : response;
  });

const plain = (response) => JSON.parse(JSON.stringify(response));

async function fails(kind, code, ask) {
  try {
    await ask();
  } catch (error) {
    assert.ok(error instanceof kind, `${error}`);
    assert.equal(error.code, code);
    return error;
  }
  return assert.fail(`${code} was not thrown`);
}

await cases({
  async "a chat"() {
    const response = await client.responses.create({
      model: "mock-model",
      input: [
        { role: "developer", content: "Be brief." },
        { role: "user", content: "hello [[mock tokens=9]]" },
      ],
      metadata: { a: "b" },
    });
    assert.equal(response.status, "completed");
    assert.ok(response.output_text);
    assert.equal(response.usage.output_tokens, 9);
    assert.deepEqual(plain(await client.responses.retrieve(response.id)), plain(response));
    const next = await client.responses.create({ model: "mock-model", input: "and?", previous_response_id: response.id });
    assert.equal(next.conversation.id, response.conversation.id);
    const items = await client.responses.inputItems.list(next.id);
    assert.deepEqual(items.data.map((item) => item.content[0].text), ["and?"]);
  },

  async "a stream"() {
    const stream = client.responses.stream({ model: "mock-model", input: "hello [[mock tokens=30 delay_ms=1]]" });
    let text = "";
    stream.on("response.output_text.delta", (event) => {
      text += event.delta;
      assert.equal(event.snapshot, text);
    });
    const response = await stream.finalResponse();
    assert.equal(response.output_text, text);
    // The helper reads all of it again and gives what comes after the number.
    const again = client.responses.stream({ response_id: response.id, starting_after: 0 });
    assert.equal((await again.finalResponse()).output_text, text);
  },

  async "an attempt that was given up"() {
    const input = "cut [[mock tokens=20 fault=cut_mid_stream after=7 times=1]]";
    const stream = client.responses.stream({ model: "mock-model", input });
    const added = [];
    for await (const event of stream) {
      if (event.type === "response.output_item.added") added.push(event.output_index);
    }
    assert.deepEqual(added, [0, 1]);
    const response = await stream.finalResponse();
    assert.equal(response.output.length, 1);
    assert.equal(response.output_text, (await ended(response.id)).output_text);
  },

  async "tools"() {
    const tool = { type: "function", name: "weather", parameters: { type: "object", properties: {} }, strict: false };
    const input = 'look [[mock tokens=3 tool=weather args={"city":"Bern"}]]';
    const response = await client.responses.stream({ model: "mock-model", input, tools: [tool] }).finalResponse();
    const call = response.output[1];
    assert.equal(call.type, "function_call");
    assert.equal(call.arguments, '{"city":"Bern"}');
    const output = { type: "function_call_output", call_id: call.call_id, output: "rain" };
    const after = await client.responses.create({ model: "m", input: [output], previous_response_id: response.id });
    assert.equal(after.status, "completed");
    // Without a conversation of ours: everything is sent again, as it came.
    const all = [{ role: "user", content: input }, ...plain(response.output), output];
    assert.equal((await client.responses.create({ model: "m", input: all, store: false })).status, "completed");
  },

  async "cut hundreds of times while the reply comes and after it"() {
    let cuts = await cutWithin(9_000);
    const before = cuts;
    for (let round = 0; cuts - before < 220; round += 1) {
      assert.ok(round < 100);
      const input = `cut ${round} äöü€😀 [[mock tokens=100 delay_ms=${round % 2}]]`;
      const { id, status } = await client.responses.create({ model: "mock-model", input, background: true });
      assert.equal(status, "queued");
      const seen = await new Seen(id).follow(cutClient);
      const response = await ended(id);
      assert.equal(seen.end.type, "response.completed");
      assert.equal(seen.text(), response.output_text);
      assert.equal((await new Seen(id).follow(cutClient)).text(), response.output_text);
      cuts = await cutWithin(9_000);
    }
    console.log(`  ${cuts - before} cuts`);
    await cutWithin(0);
  },

  async "resumed from any number"() {
    const input = "any [[mock tokens=80 delay_ms=2]]";
    const { id } = await client.responses.create({ model: "mock-model", input, background: true });
    const events = [];
    for await (const event of await client.responses.retrieve(id, { stream: true })) events.push(event);
    const { output_text: text } = await client.responses.retrieve(id);
    for (let round = 0; round < 60; round += 1) {
      const at = Math.floor(Math.random() * events.length);
      const seen = new Seen(id);
      for (const event of events.slice(0, at + 1)) seen.take(event);
      assert.equal((await seen.follow(client)).text(), text, `after ${JSON.stringify(events[at])}`);
    }
  },

  async "a cancel keeps what was said"() {
    const input = "long [[mock tokens=3000 delay_ms=5]]";
    const { id } = await client.responses.create({ model: "mock-model", input, background: true });
    const seen = new Seen(id);
    let cancelled = null;
    for await (const event of await client.responses.retrieve(id, { stream: true })) {
      seen.take(event);
      if (seen.text().length > 50) cancelled ??= client.responses.cancel(id);
    }
    assert.equal((await cancelled).status, "cancelled");
    assert.equal(seen.end.response.status, "cancelled");
    const kept = await ended(id);
    assert.equal(kept.output_text, seen.text());
  },

  async "a background response fetched later"() {
    const input = "later [[mock tokens=20 delay_ms=5]]";
    const created = await client.responses.create({ model: "mock-model", input, background: true });
    assert.deepEqual([created.status, created.output], ["queued", []]);
    assert.ok((await ended(created.id)).output_text);
    await client.responses.delete(created.id);
    await fails(OpenAI.NotFoundError, "response_not_found", () => client.responses.retrieve(created.id));
  },

  async "each class of error"() {
    const create = (body, options) => client.responses.create({ model: "m", input: "a", ...body }, options);
    const bad = await fails(OpenAI.BadRequestError, "invalid_field", () => create({ temperature: 7 }));
    assert.equal(bad.param, "temperature");
    const previous = () => create({ previous_response_id: "resp_1" });
    assert.equal((await fails(OpenAI.NotFoundError, "previous_response_not_found", previous)).param, "previous_response_id");
    await fails(OpenAI.NotFoundError, "response_not_found", () => client.responses.retrieve("resp_1"));
    const headers = { "Idempotency-Key": "responses-node" };
    await create({}, { headers });
    const retrying = clientOf(url, { maxRetries: 5 });
    const again = () => retrying.responses.create({ model: "m", input: "b" }, { headers });
    await fails(OpenAI.ConflictError, "idempotency_key_reused", again);
    const failed = await create({ input: "refused [[mock fault=http_400]]" });
    assert.deepEqual([failed.status, failed.error.code], ["failed", "invalid_prompt"]);
    const stream = await create({ input: "refused [[mock fault=http_400]]", stream: true });
    let last;
    for await (const event of stream) last = event;
    assert.equal(last.type, "response.failed");
  },
});
