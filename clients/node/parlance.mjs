// What scripts share: where the server is, plain calls of the native API, and a proxy that cuts.
import assert from "node:assert/strict";

export const url = process.env.PARLANCE_URL;
export const cutUrl = process.env.PARLANCE_CUT_URL;
/** The same proxy at other ports. */
export const cutUrls = process.env.PARLANCE_CUT_URLS.split(",");
export const key = process.env.PARLANCE_KEY;
export const authorization = { authorization: `Bearer ${key}` };

export async function call(method, path, body) {
  const response = await fetch(url + path, {
    method,
    headers: { ...authorization, ...(body ? { "content-type": "application/json" } : {}) },
    body: body ? JSON.stringify(body) : undefined,
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : null };
}

/** Sends a message, to a new session when none is given. */
export async function say(content, session) {
  const path = session ? `/v1/sessions/${session}/messages` : "/v1/messages";
  const { status, body } = await call("POST", path, { content });
  assert.equal(status, 202, JSON.stringify(body));
  return body;
}

/** The task at its end. */
export async function ended(task) {
  for (;;) {
    const { status, body } = await call("GET", `/v1/tasks/${task}?wait=50`);
    assert.equal(status, 200, JSON.stringify(body));
    if (["completed", "failed", "cancelled"].includes(body.status)) return body;
  }
}

/** All connections through the proxy are cut within so many bytes from now on, with 0 not at all. Gives the cuts so far. */
export async function cutWithin(bytes) {
  const response = await fetch(`${process.env.PARLANCE_CUT_CONTROL}/${bytes}`, { method: "PUT" });
  return (await response.json()).cuts;
}

/** Asks again until there is something. */
export async function eventually(what, probe) {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const found = await probe();
    if (found) return found;
    await new Promise((wake) => setTimeout(wake, 10));
  }
  assert.fail(`never happened: ${what}`);
}

/** Runs the cases one after the other, and says each one's name. */
export async function cases(all) {
  for (const [name, run] of Object.entries(all)) {
    const began = Date.now();
    try {
      await run();
    } catch (error) {
      console.log(`FAILED ${name}`);
      console.error(error);
      process.exit(1);
    }
    console.log(`passed ${name} (${Date.now() - began} ms)`);
  }
  process.exit(0);
}
