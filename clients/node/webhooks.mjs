// A receiver of webhooks that checks them with OpenAI's own client, which knows the scheme of Standard Webhooks.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import OpenAI from "openai";
import { call, cases, ended, eventually } from "./parlance.mjs";

const secret = process.env.PARLANCE_WEBHOOK_SECRET;
const client = new OpenAI({ apiKey: "unused", webhookSecret: secret });
const received = [];
const answers = [];

const server = createServer(async (request, response) => {
  let payload = "";
  for await (const chunk of request.setEncoding("utf8")) payload += chunk;
  received.push({ headers: request.headers, payload });
  response.writeHead(answers.shift() ?? 204).end();
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const webhook_url = `http://127.0.0.1:${server.address().port}/hook`;

async function ask(content) {
  const { status, body } = await call("POST", "/v1/messages", { content, webhook_url });
  assert.equal(status, 202, JSON.stringify(body));
  return ended(body.task_id);
}

/** The latest ones, once there are so many. */
const latest = (count, from) => eventually("the webhook", () => received.length >= from + count && received.slice(from));

await cases({
  "an end is told, and the signature is right": async () => {
    const task = await ask("hello [[mock tokens=5]]");
    const [{ headers, payload }] = await latest(1, 0);
    const event = await client.webhooks.unwrap(payload, headers);
    assert.equal(event.type, "task.completed");
    assert.deepEqual(event.data, task);
  },
  "what was tried before has the same id and a signature of its own": async () => {
    answers.push(500);
    const from = received.length;
    await ask("again [[mock tokens=5]]");
    const both = await latest(2, from);
    assert.equal(both[0].headers["webhook-id"], both[1].headers["webhook-id"]);
    for (const { headers, payload } of both) await client.webhooks.verifySignature(payload, headers);
  },
  "whatever was changed on the way is noticed": async () => {
    const { headers, payload } = received[0];
    const wrong = OpenAI.InvalidWebhookSignatureError;
    const refused = (...of) => assert.rejects(client.webhooks.verifySignature(...of), wrong);
    await refused(payload.replace("hello", "hullo") + " ", headers);
    await refused(payload, { ...headers, "webhook-id": `${headers["webhook-id"]}0` });
    await refused(payload, { ...headers, "webhook-timestamp": `${Number(headers["webhook-timestamp"]) + 1}` });
    await refused(payload, headers, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  },
});
server.closeAllConnections();
server.close();
