"""A stand-in for Firebase Hosting: serves files, and sends on what firebase.json rewrites, with Hosting's manners towards a backend.

What it knows of them is from Firebase's documentation (November 2026): the first rewrite that fits counts, after files; of the cookies
only __session goes through; a request is ended after 60 s (here: `limit`); answers are cached when they say that they may be, and a
404 that says nothing for 10 minutes; the caller's address is appended to X-Forwarded-For, by Hosting and by Cloud Run's own front end.
Whether text is passed on as it comes or held back until the answer is whole is said differently, so it can do either (`holds_back`).
"""

from __future__ import annotations

import contextlib
import http.client
import pathlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length"}
# What Hosting's own address is to Cloud Run.
HOSTING = "203.0.113.7"


def glob(source: str) -> re.Pattern:
    """Hosting's patterns, as far as they are used here: ** for anything, * within a segment."""
    text = source if source.startswith(("/", "**")) else "/" + source
    parts = re.split(r"(\*\*|\*)", text)
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts) + r"\Z")


class Hosting:
    """One site."""

    def __init__(self, config: dict, public: pathlib.Path, services: dict, limit: float = 60, holds_back: bool = False):
        self.config = config["hosting"]
        self.public = public
        self.services = services
        self.limit = limit
        self.holds_back = holds_back
        self.cache: dict[tuple, tuple] = {}
        # How many requests were ended because they took too long.
        self.cut = 0
        self.forwarded = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hosting": self}))
        self.server.daemon_threads = True
        self.address = self.server.server_address
        self.url = "http://%s:%d" % self.address

    def rewrite(self, path: str) -> dict | None:
        return next((rule for rule in self.config["rewrites"] if glob(rule["source"]).match(path)), None)

    def file(self, path: str) -> pathlib.Path | None:
        file = (self.public / path.lstrip("/")).resolve()
        return file if file.is_file() and self.public.resolve() in file.parents else None

    def headers(self, path: str) -> list[tuple[str, str]]:
        rules = [rule for rule in self.config.get("headers", []) if glob(rule["source"]).match(path)]
        return [(header["key"], header["value"]) for rule in rules for header in rule["headers"]]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def keeps_for(status: int, headers: dict[str, str]) -> float:
    """How many seconds the CDN keeps an answer."""
    said = headers.get("cache-control")
    if said is None:
        return 600 if status == 404 else 0
    words = {word.strip().lower() for word in said.split(",")}
    if words & {"no-store", "private", "no-cache"} or "public" not in words:
        return 0
    ages = dict(word.split("=", 1) for word in words if "=" in word)
    return float(ages.get("s-maxage", ages.get("max-age", 0)))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosting: Hosting

    def log_message(self, *_):
        pass

    def serve(self):
        path = self.path.split("?")[0]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        file = self.hosting.file(path) if self.command in ("GET", "HEAD") else None
        rule = None if file else self.hosting.rewrite(path)
        if rule and "destination" in rule:
            file = self.hosting.file(rule["destination"])
        if file:
            self.answer(200, self.hosting.headers(path), file.read_bytes())
        elif rule and "run" in rule:
            self.forward(self.hosting.services[rule["run"]["serviceId"]], body)
        else:
            self.answer(404, [], b"Page Not Found")

    do_GET = do_POST = do_PATCH = do_DELETE = do_HEAD = do_PUT = do_OPTIONS = serve

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def session(self) -> str | None:
        pairs = [pair.strip() for pair in (self.headers.get("cookie") or "").split(";")]
        return next((pair for pair in pairs if pair.startswith("__session=")), None)

    def sent_on(self) -> dict[str, str]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP | {"cookie"}}
        before = [self.headers["x-forwarded-for"]] if "x-forwarded-for" in self.headers else []
        headers["X-Forwarded-For"] = ", ".join([*before, self.client_address[0], HOSTING])
        headers["X-Forwarded-Host"] = self.headers.get("host", "")
        if session := self.session():
            headers["Cookie"] = session
        return headers

    def forward(self, service: tuple[str, int], body: bytes):
        # Answers to the same address of another session are another answer.
        key = (self.path, self.session())
        kept = self.hosting.cache.get(key)
        if self.command == "GET" and kept and kept[0] > time.monotonic():
            self.answer(*kept[1:])
            return
        end = time.monotonic() + self.hosting.limit
        self.hosting.forwarded += 1
        with contextlib.closing(http.client.HTTPConnection(*service, timeout=self.hosting.limit)) as connection:
            try:
                connection.request(self.command, self.path, body or None, self.sent_on())
                answer = connection.getresponse()
            except TimeoutError:
                self.too_late()
                return
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            pieces = self.pieces(connection, answer, end)
            if self.hosting.holds_back or answer.status == 204 or answer.getheader("content-length"):
                whole = b"".join(pieces)
                if self.overdue:
                    self.too_late()
                    return
                self.answer(answer.status, headers, whole)
                seconds = keeps_for(answer.status, {name.lower(): value for name, value in headers})
                if self.command == "GET" and seconds:
                    self.hosting.cache[key] = (time.monotonic() + seconds, answer.status, headers, whole)
                return
            self.send_response(answer.status)
            for name, value in [*headers, ("transfer-encoding", "chunked")]:
                self.send_header(name, value)
            self.end_headers()
            for piece in pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.close_connection = True
            if self.overdue:
                # Without the last chunk: to the client the answer broke off.
                self.hosting.cut += 1
            else:
                self.wfile.write(b"0\r\n\r\n")

    overdue = False

    def pieces(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse, end: float):
        """The body as it comes, until it is late."""
        self.overdue = False
        # The answer takes the socket over when it closes the connection.
        socket = connection.sock or answer.fp.raw._sock
        while (left := end - time.monotonic()) > 0:
            socket.settimeout(left)
            try:
                piece = answer.read1(65536)
            except TimeoutError:
                break
            if not piece:
                return
            yield piece
        self.overdue = True

    def too_late(self):
        self.hosting.cut += 1
        self.answer(504, [("content-type", "text/html")], b"<h1>Gateway Timeout</h1>")
