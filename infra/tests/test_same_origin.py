"""The page and the API on one origin: firebase.json, and clients behind a host that cuts what takes long, caches, and drops cookies."""

from __future__ import annotations

import concurrent.futures
import contextlib
import copy
import json
import pathlib
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jsonschema
import pytest
from event_source import Broken, EventSource, ask, call, events
from firebase_hosting import Hosting, keeps_for
from parlance_server import parlance, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIREBASE = ROOT / "infra/firebase/firebase.json"
SCHEMA = json.loads((ROOT / "infra/schema/firebase-hosting.json").read_text())
# Instead of Hosting's 60 s.
LIMIT = 1.5
# Takes more than twice as long as an answer may.
LONG = "[[mock tokens=80 delay_ms=45]]"


@pytest.fixture(scope="module")
def config():
    return json.loads(FIREBASE.read_text())


@pytest.fixture(scope="module")
def server():
    with parlance() as running:
        yield running


@pytest.fixture(scope="module")
def ending_server():
    """One that ends streams before Hosting does."""
    with parlance(STREAM_MAX_DURATION="1s") as running:
        yield running


@pytest.fixture
def site(config, tmp_path):
    """Starts Hosting in front of a server."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("the page")
    (tmp_path / "assets/app.js").write_text("the script")
    with contextlib.ExitStack() as stack:

        def start(server, **manners):
            services = {"ingest-api": server.address}
            return stack.enter_context(Hosting(config, tmp_path, services, **{"limit": LIMIT, **manners}))

        yield start


def say(url: str, content: str, **options) -> dict:
    status, _, accepted = ask(f"{url}/v1/messages", "POST", {"content": content}, **options)
    assert status == 202, accepted
    return accepted


def reply_of(server, task: str) -> str:
    """As it is in the record, asked for past Hosting."""
    _, _, ended = ask(f"{server.url}/v1/tasks/{task}?wait=20")
    assert ended["status"] == "completed", ended
    return ended["reply"]["content"]


def at_once(check, *servers):
    """For each of them, at the same time: most of it is waiting."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for checked in [pool.submit(check, server) for server in servers]:
            checked.result()


def recorded(messages: str) -> list | None:
    _, _, said = ask(messages)
    return said if len(said) == 2 else None


def text_of(seen) -> str:
    return "".join(event.data["text"] for event in seen if event.name == "delta")


def assert_whole(seen, server, task: str):
    """No gap, no repeat."""
    ids = [event.id for event in seen]
    assert len(set(ids)) == len(ids), "something came twice"
    assert seen[-1].name == "done"
    reply = reply_of(server, task)
    assert len(reply.split()) >= 40 and text_of(seen) == reply == seen[-1].data["reply"]["content"]


# firebase.json


def test_firebase_json_has_the_shape_of_its_schema(config):
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(config, SCHEMA)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda hosting: hosting["rewrites"][0]["run"].pop("region"),
        lambda hosting: hosting["rewrites"][0]["run"].pop("pinTag"),
        lambda hosting: hosting["rewrites"][0]["run"].update(pinTag="false"),
        lambda hosting: hosting["rewrites"][0]["run"].update(service="ingest-api"),
        lambda hosting: hosting["rewrites"][0].update(destination="/index.html"),
        lambda hosting: hosting["rewrites"][1].update(destination="https://example.com"),
        lambda hosting: hosting["headers"][0]["headers"][0].update(value=1),
        lambda hosting: hosting.update(rewrite=[]),
        lambda hosting: hosting.pop("public"),
    ],
)
def test_the_schema_refuses_what_is_wrong(config, spoil):
    spoiled = copy.deepcopy(config)
    spoil(spoiled["hosting"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spoiled, SCHEMA)


def test_the_api_and_nothing_else_of_the_service_is_reached_where_the_deploys_put_it(config, server, site):
    hosting = site(server)
    _, _, description = ask(f"{server.url}/openapi.json")
    paths = [path.replace("{", "x").replace("}", "") for path in description["paths"]]
    assert sum(path.startswith("/v1/") for path in paths) > 15
    for path in paths:
        run = hosting.rewrite(path).get("run")
        if path.startswith("/v1/"):
            # A deploy shifts traffic by and by, and back: a pinned tag would not follow.
            assert run == {"serviceId": "ingest-api", "region": "europe-west1", "pinTag": False}, path
        else:
            assert run is None, path
    assert ask(f"{hosting.url}/v1/sessions")[2]["data"] == []
    assert ask(f"{hosting.url}/metrics")[2] == b"the page"
    status, headers, body = ask(f"{hosting.url}/some/where/in/the/page")
    assert (status, body) == (200, b"the page")
    assert "frame-ancestors 'none'" in headers["content-security-policy"] and headers["x-content-type-options"] == "nosniff"
    assert "immutable" in ask(f"{hosting.url}/assets/app.js")[1]["cache-control"]


# Replies that take longer than an answer may


def test_an_event_source_gets_a_long_reply_whole_though_it_is_cut(server, site):
    hosting = site(server)
    accepted = say(hosting.url, LONG)
    source = EventSource(hosting.url + accepted["links"]["stream"])
    seen = list(source)
    assert_whole(seen, server, accepted["task_id"])
    assert source.broken == hosting.cut >= 1 and source.connections == source.broken + 1


def test_nothing_is_cut_where_streams_end_before_that(ending_server, site):
    hosting = site(ending_server)
    accepted = say(hosting.url, LONG)
    source = EventSource(hosting.url + accepted["links"]["stream"])
    seen = list(source)
    assert_whole(seen, ending_server, accepted["task_id"])
    assert (hosting.cut, source.broken) == (0, 0) and source.connections >= 3
    pauses = [after.at - before.at for before, after in zip(seen, seen[1:])]
    assert max(pauses) < 0.7, "the client waits before it comes back"


def test_a_host_that_holds_answers_back_shows_a_reply_while_it_is_made(ending_server, site):
    hosting = site(ending_server, holds_back=True)
    accepted = say(hosting.url, LONG)
    began = time.monotonic()
    source = EventSource(hosting.url + accepted["links"]["stream"])
    seen = list(source)
    assert_whole(seen, ending_server, accepted["task_id"])
    assert hosting.cut == 0
    first = next(event for event in seen if event.name == "delta")
    assert first.at - began < 2.0 < seen[-1].at - began, "nothing was seen before the end"


def test_without_that_such_a_host_loses_the_reply(server, site):
    """Why STREAM_MAX_DURATION is to be set."""
    hosting = site(server, holds_back=True)
    source = EventSource(hosting.url + say(hosting.url, LONG)["links"]["stream"])
    assert list(source) == [] and source.closed_with == 504 and hosting.cut == 1


def test_a_response_goes_on_behind_its_last_number(server, ending_server, site):
    def check(parlance_behind):
        hosting = site(parlance_behind)
        url, method, body = f"{hosting.url}/v1/responses", "POST", {"input": LONG, "stream": True}
        text, number, response, calls = "", -1, None, 0
        done = False
        while not done:
            calls += 1
            connection, answer = call(url, method, body)
            with contextlib.closing(connection), contextlib.suppress(Broken):
                assert answer.status == 200
                for event in events(answer):
                    if event.name == "retry":
                        continue
                    data = event.data
                    assert data["sequence_number"] > number, "something came twice"
                    number = data["sequence_number"]
                    response = response or data["response"]["id"]
                    text += data["delta"] if data["type"] == "response.output_text.delta" else ""
                    done = data["type"] == "response.completed"
            url = f"{hosting.url}/v1/responses/{response}?stream=true&starting_after={number}"
            method, body = "GET", None
        assert calls >= 3 and text == data["response"]["output"][0]["content"][0]["text"]
        assert len(text.split()) >= 40
        assert (hosting.cut > 0) == (parlance_behind is server)

    at_once(check, server, ending_server)


def test_a_chat_completion_that_is_cut_is_had_by_its_link(server, ending_server, site):
    def check(parlance_behind):
        hosting = site(parlance_behind)
        body = {"model": "mock", "stream": True, "messages": [{"role": "user", "content": LONG}]}
        connection, answer = call(f"{hosting.url}/v1/chat/completions", "POST", body)
        partial = ""
        with contextlib.closing(connection), pytest.raises(Broken):
            for event in events(answer):
                partial += event.data["choices"][0]["delta"].get("content") or ""
        assert hosting.cut == 1, "only Hosting ends a stream that nobody can go on with"
        link, task = answer.getheader("link"), answer.getheader("x-task-id")
        stream = link[link.index("<") + 1 : link.index(">")]
        seen = list(EventSource(hosting.url + stream))
        assert_whole(seen, parlance_behind, task)
        assert partial and text_of(seen).startswith(partial)

    at_once(check, server, ending_server)


def test_a_chat_completion_without_a_stream_is_had_by_its_key(server, site):
    hosting = site(server)
    body = {"model": "mock", "messages": [{"role": "user", "content": LONG}]}
    key = {"idempotency-key": str(uuid.uuid4())}
    statuses = []
    while not statuses or statuses[-1] == 504:
        status, _, answer = ask(f"{hosting.url}/v1/chat/completions", "POST", body, key)
        statuses.append(status)
    assert statuses[0] == 504 and statuses[-1] == 200
    assert len(answer["choices"][0]["message"]["content"].split()) >= 40


def test_a_chat_of_the_ai_sdk_is_resumed(server, ending_server, site):
    def check(parlance_behind):
        hosting = site(parlance_behind)
        chat = f"{hosting.url}/v1/ui/chat/{uuid.uuid4()}"
        said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": LONG}]}
        body = {"id": chat.rsplit("/", 1)[1], "messages": [said], "trigger": "submit-message"}
        connection, answer = call(f"{hosting.url}/v1/ui/chat", "POST", body)
        resumes, told = 0, 0
        while answer.status == 200:
            text, ended = "", None
            with contextlib.closing(connection), contextlib.suppress(Broken):
                for event in events(answer):
                    if event.text == "[DONE]":
                        break
                    chunk = event.data
                    text += chunk.get("delta", "") if chunk["type"] == "text-delta" else ""
                    told += chunk["type"] == "error"
                    ended = chunk["type"]
            if ended == "finish":
                break
            resumes += 1
            connection, answer = call(f"{chat}/stream")
        # After a resume that found nothing more, the messages are loaded.
        messages = until("the reply is in the record", lambda: recorded(f"{chat}/messages"))
        stored = "".join(part.get("text", "") for part in messages[-1]["parts"])
        assert resumes >= 2 and len(stored.split()) >= 40
        assert answer.status == 204 or text == stored
        # What ends it says so: a stream that ended in silence would be taken for the whole reply.
        assert (told, hosting.cut) == ((0, resumes) if parlance_behind is server else (resumes, 0))

    at_once(check, server, ending_server)


def test_a_long_poll_is_answered_in_time(server, site):
    hosting = site(server)
    task = say(hosting.url, LONG)["links"]["task"]
    statuses = []
    while not statuses or statuses[-1] in ("queued", "running"):
        status, _, answer = ask(f"{hosting.url}{task}?wait=1")
        assert status == 200
        statuses.append(answer["status"])
    assert statuses[-1] == "completed" and len(statuses) >= 3 and hosting.cut == 0


# Caches, cookies, addresses


def test_the_stand_in_keeps_what_hosting_would_keep(config, tmp_path):
    """Else the next test would show nothing."""
    said = {"/v1/public": "public, s-maxage=60", "/v1/private": "private, max-age=60", "/v1/none": None}
    asked = []

    class Careless(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["cookie"]))
            self.send_response(404 if said[self.path] is None else 200)
            for value in filter(None, [said[self.path]]):
                self.send_header("cache-control", value)
            self.send_header("content-length", "1")
            self.end_headers()
            self.wfile.write(b"x")

        def log_message(self, *_):
            pass

    backend = ThreadingHTTPServer(("127.0.0.1", 0), Careless)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    with backend, Hosting(config, tmp_path, {"ingest-api": backend.server_address}) as hosting:
        for path in said:
            for _ in range(2):
                ask(hosting.url + path, headers={"cookie": "a=b; __session=s; c=d"})
        backend.shutdown()
    assert [path for path, _ in asked] == ["/v1/public", "/v1/private", "/v1/private", "/v1/none"]
    assert {cookie for _, cookie in asked} == {"__session=s"}
    assert keeps_for(404, {}) == 600 and keeps_for(200, {}) == keeps_for(404, {"cache-control": "no-store"}) == 0


def test_nothing_of_the_api_is_kept_for_others_or_for_later(site):
    with parlance(AUTH_API_KEYS="on") as server:
        hosting = site(server)
        ann, bob = ({"x-api-key": server.key("--user", user)} for user in ("ann", "bob"))
        accepted = say(hosting.url, "[[mock tokens=3]]", headers=ann)
        links = accepted["links"]
        for path in ("/v1/sessions", links["session"], links["session"] + "/messages", links["task"], links["stream"]):
            for headers in (ann, bob, {}):
                status, answered, _ = ask(hosting.url + path, headers=headers)
                assert "no-store" in answered["cache-control"], (path, status)
            assert ask(hosting.url + path, headers=ann)[0] == 200, path
            if path != "/v1/sessions":
                assert ask(hosting.url + path, headers=bob)[0] == 404, path
            assert ask(hosting.url + path)[0] == 401, path
        assert ask(f"{hosting.url}/v1/nothing", headers=ann)[0] == 404
        assert hosting.cache == {}


def test_limits_by_address_are_those_of_the_users_behind_hosting(site):
    with parlance(RATE_LIMIT_PER_IP="4/h", TRUSTED_PROXIES="2") as server:
        hosting = site(server)

        def status(source: str, **headers) -> int:
            return ask(f"{hosting.url}/v1/sessions", headers=headers, source=source)[0]

        assert [status("127.0.0.2") for _ in range(5)] == [200, 200, 200, 200, 429]
        assert status("127.0.0.3") == 200, "one user's calls count for another"
        assert status("127.0.0.2", **{"x-forwarded-for": "198.51.100.1"}) == 429, "a header of the client's is believed"
