// The browser's way to Parlance: same origin, so there is no CORS; the key is added here, so that no browser ever has it.

import { isAllowed } from "@/lib/allowed";
import { forward } from "@/lib/forward";
import { problem } from "@/lib/problem";
import { isOwnPage } from "@/lib/same-origin";
import { userOf } from "@/lib/session";

// What a user reads is theirs, and it changes.
export const dynamic = "force-dynamic";
// For platforms that cut functions: as long as a stream may last there. Parlance's STREAM_MAX_DURATION is to be shorter.
export const maxDuration = 300;

type Context = { params: Promise<{ path: string[] }> };

async function handle(request: Request, { params }: Context): Promise<Response> {
  const { path } = await params;
  if (!isAllowed(request.method, path)) {
    return problem(404, "route_not_found", "There is nothing at this path.");
  }
  if (!isOwnPage(request)) {
    return problem(403, "origin_not_allowed", "Pages of other origins may not call.");
  }
  const user = userOf(request);
  if (user === null) {
    return problem(401, "unauthenticated", "Sign in first.");
  }
  return forward(request, path, user);
}

export { handle as GET, handle as POST, handle as PATCH, handle as DELETE };
