// Sends a call on and its answer back, piece by piece as it comes. Headers are chosen, not copied: a browser's cookies, credentials
// and X-User-Id stop here, and of the answer comes what a page can use.

import { problem } from "./problem";

const TO_PARLANCE = ["accept", "content-type", "idempotency-key", "last-event-id"];
const TO_BROWSER = [
  "cache-control",
  "content-type",
  "ratelimit",
  "ratelimit-policy",
  "retry-after",
  "x-accel-buffering",
  "x-call-id",
  "x-vercel-ai-ui-message-stream",
];

export async function forward(request: Request, path: string[], user: string): Promise<Response> {
  const { PARLANCE_URL, PARLANCE_API_KEY } = process.env;
  if (!PARLANCE_URL || !PARLANCE_API_KEY) {
    console.error("PARLANCE_URL and PARLANCE_API_KEY must be set");
    return problem(500, "internal_error", "Something went wrong on our side.");
  }
  const url = new URL(path.map(encodeURIComponent).join("/"), PARLANCE_URL.replace(/\/*$/, "/"));
  url.search = new URL(request.url).search;

  // As it is, or a proxy's decompression would hold text back.
  const headers = new Headers({ "accept-encoding": "identity", "x-api-key": PARLANCE_API_KEY, "x-user-id": user });
  copy(TO_PARLANCE, request.headers, headers);
  const init: RequestInit & { duplex: "half" } = {
    method: request.method,
    headers,
    body: request.body,
    duplex: "half",
    // Who goes away stops listening at Parlance, too; the reply itself goes on and can be read later.
    signal: request.signal,
    redirect: "manual",
    cache: "no-store",
  };
  try {
    const answer = await fetch(url, init);
    const shown = new Headers({ "x-content-type-options": "nosniff" });
    copy(TO_BROWSER, answer.headers, shown);
    return new Response(answer.body, { status: answer.status, headers: shown });
  } catch (error) {
    if (request.signal.aborted) return new Response(null, { status: 499 });
    console.error("Parlance can't be reached", error);
    return problem(502, "unavailable", "Not available for the moment.", { "retry-after": "1" });
  }
}

function copy(names: string[], from: Headers, to: Headers): void {
  for (const name of names) {
    const value = from.get(name);
    if (value !== null) to.set(name, value);
  }
}
