// Errors of this route, in the shape of Parlance's own (RFC 9457).

export function problem(status: number, code: string, detail: string, headers: Record<string, string> = {}): Response {
  const body = JSON.stringify({ status, code, detail });
  const own = { "content-type": "application/problem+json", "cache-control": "no-store" };
  return new Response(body, { status, headers: { ...own, ...headers } });
}
