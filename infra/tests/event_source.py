"""Server-sent events as browsers read them (HTML, section 9.2): what breaks is asked for again behind the last event."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import time
import urllib.parse


@dataclasses.dataclass
class Event:
    id: str
    name: str
    text: str
    at: float

    @property
    def data(self):
        return json.loads(self.text)


class Broken(Exception):
    """The connection was lost before the answer was whole."""


def call(url: str, method: str = "GET", body=None, headers: dict | None = None, source: str | None = None, timeout=30):
    """One request on a connection of its own; the answer and its connection."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname, parts.port, timeout=timeout, source_address=(source, 0) if source else None
    )
    sent = {} if body is None else {"content-type": "application/json"}
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    connection.request(method, path, None if body is None else json.dumps(body), {**sent, **(headers or {})})
    return connection, connection.getresponse()


def ask(url: str, method: str = "GET", body=None, headers: dict | None = None, **options):
    """One request; status, headers, and the body, as JSON where it is."""
    connection, answer = call(url, method, body, headers, **options)
    with contextlib.closing(connection):
        text = answer.read()
        is_json = "json" in (answer.getheader("content-type") or "")
        return answer.status, answer.headers, json.loads(text) if is_json and text else text


def events(answer: http.client.HTTPResponse):
    """Of one answer, with hints as the event `retry`. Raises Broken if it broke off."""
    rest, fields = b"", {}
    while True:
        try:
            piece = answer.read1(65536)
        except (http.client.HTTPException, OSError) as error:
            raise Broken from error
        if not piece:
            # A body in chunks that ends before its last one looks like an end to read1.
            if answer.chunked and answer.chunk_left is not None:
                raise Broken
            return
        *lines, rest = (rest + piece).split(b"\n")
        for line in map(bytes.decode, lines):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if line and name == "data":
                fields["data"] = fields["data"] + "\n" + value if "data" in fields else value
            elif line and name == "retry":
                yield Event("", "retry", value, time.monotonic())
            elif line:
                fields[name] = value
            else:
                if "data" in fields:
                    yield Event(fields.get("id", ""), fields.get("event", "message"), fields["data"], time.monotonic())
                fields = {}


class EventSource:
    """Comes back until the server says that there is nothing more, or something else than an event stream."""

    def __init__(self, url: str, headers: dict | None = None, ends=("done", "failed", "cancelled")):
        self.url = url
        self.headers = headers or {}
        self.ends = ends
        self.retry = 3.0
        self.connections = 0
        self.broken = 0
        self.closed_with: int | None = None

    def __iter__(self):
        last = ""
        while True:
            headers = {"accept": "text/event-stream", **self.headers, **({"last-event-id": last} if last else {})}
            connection, answer = call(self.url, headers=headers)
            self.connections += 1
            with contextlib.closing(connection):
                if answer.status != 200 or not (answer.getheader("content-type") or "").startswith("text/event-stream"):
                    self.closed_with = answer.status
                    return
                try:
                    for event in events(answer):
                        if event.name == "retry":
                            self.retry = int(event.text) / 1000
                            continue
                        last = event.id or last
                        yield event
                        if event.name in self.ends:
                            return
                except Broken:
                    self.broken += 1
            time.sleep(self.retry)
