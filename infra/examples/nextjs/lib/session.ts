// Who is signed in. Put your own sign-in here; what matters is that the answer comes from something that the browser can't make up.
//
// Here it is a cookie USER.SIGNATURE that your sign-in sets (HttpOnly, Secure, SameSite=Lax), signed with SESSION_SECRET. It is
// called __session because that is the one cookie that Firebase Hosting lets through to a backend.

import { createHmac, timingSafeEqual } from "node:crypto";

const COOKIE = "__session";

export function sign(user: string): string {
  const secret = process.env.SESSION_SECRET;
  if (!secret || secret.length < 32) throw new Error("SESSION_SECRET must have at least 32 characters");
  return createHmac("sha256", secret).update(user).digest("base64url");
}

export function userOf(request: Request): string | null {
  const cookies = (request.headers.get("cookie") ?? "").split(";").map((pair) => pair.trim());
  const value = cookies.find((pair) => pair.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1);
  const end = value?.lastIndexOf(".") ?? -1;
  if (!value || end < 1) return null;
  const [user, signature] = [value.slice(0, end), value.slice(end + 1)];
  const [given, right] = [Buffer.from(signature), Buffer.from(sign(user))];
  return given.length === right.length && timingSafeEqual(given, right) ? user : null;
}
