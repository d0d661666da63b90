// What pages may call. All else, such as /metrics, usage of all users, and whatever is added later, is not there for them.

const ID = "[A-Za-z0-9_-]{1,100}";
// An application names its chats as it likes.
const CHAT = "[^/]{1,200}";

const ALLOWED: [methods: string[], path: RegExp][] = [
  [["POST"], at("v1/messages")],
  [["GET", "POST"], at("v1/sessions")],
  [["GET", "PATCH", "DELETE"], at(`v1/sessions/${ID}`)],
  [["GET", "POST"], at(`v1/sessions/${ID}/messages`)],
  [["GET"], at(`v1/sessions/${ID}/summary`)],
  [["GET"], at(`v1/tasks/${ID}(/stream)?`)],
  [["POST"], at(`v1/tasks/${ID}/(cancel|retry)`)],
  [["POST"], at("v1/ui/chat")],
  [["GET", "DELETE"], at(`v1/ui/chat/${CHAT}`)],
  [["GET"], at(`v1/ui/chat/${CHAT}/(stream|messages)`)],
  [["POST"], at(`v1/ui/chat/${CHAT}/stop`)],
];

function at(path: string): RegExp {
  return new RegExp(`^${path}$`);
}

export function isAllowed(method: string, path: string[]): boolean {
  // Decoded once, a segment may hold what would be read as another path behind the proxy.
  if (path.some((part) => part === "" || part === "." || part === ".." || part.includes("/"))) return false;
  const joined = path.join("/");
  return ALLOWED.some(([methods, allowed]) => methods.includes(method) && allowed.test(joined));
}
