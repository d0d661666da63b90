"""The example of a frontend's server: built and run by Next.js itself, in front of a real Parlance."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import urllib.request
import uuid

import pytest
from event_source import EventSource, ask, call, events
from parlance_server import parlance, started, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "infra/examples/nextjs"
SECRET = "0123456789abcdef0123456789abcdef"
API = "/api/parlance/v1"


@pytest.fixture(scope="module")
def built():
    """The example, built where its packages are."""
    modules = pathlib.Path(os.environ.get("INFRA_NODE_MODULES", ""))
    if not (modules / "next").is_dir():
        pytest.fail("INFRA_NODE_MODULES names no folder with the example's packages: cargo xtask infra sets it")
    # On the same disk: the packages are linked, not copied, as next takes none from outside of its folder.
    with tempfile.TemporaryDirectory(dir=modules.parent, prefix="run-") as folder:
        site = pathlib.Path(folder) / "site"
        shutil.copytree(EXAMPLE, site, ignore=shutil.ignore_patterns(".next", "node_modules", "next-env.d.ts"))
        subprocess.run(["cp", "-al", modules, site / "node_modules"], check=True)
        build = subprocess.run(next_command("build"), cwd=site, env=environment(), capture_output=True, text=True)
        assert build.returncode == 0, build.stdout + build.stderr
        assert "Finished TypeScript" in build.stdout, "the types were not checked"
        yield site


def next_command(*arguments: str) -> list[str]:
    return ["node", "node_modules/next/dist/bin/next", *arguments]


def environment(**settings: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "NEXT_TELEMETRY_DISABLED": "1", "CI": "1", **settings}


@contextlib.contextmanager
def next_server(site: pathlib.Path, parlance_url: str, key: str):
    """Next in production, at any free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = environment(PARLANCE_URL=parlance_url, PARLANCE_API_KEY=key, SESSION_SECRET=SECRET)
    command = next_command("start", "-H", "127.0.0.1", "-p", str(port))
    with started(command, settings, cwd=site, stderr=subprocess.STDOUT):
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return ask(f"{url}{API}/sessions")[0] == 401
            except OSError:
                return False

        until("next is up", answers)
        yield url


@pytest.fixture(scope="module")
def server():
    with parlance(AUTH_API_KEYS="on") as running:
        running.web_key = running.key("--user", "web", "--scopes", "chat,act-as-users")
        running.operator = running.key("--user", "ops", "--role", "operator")
        yield running


@pytest.fixture(scope="module")
def url(built, server):
    with next_server(built, server.url, server.web_key) as running:
        yield running


def signed(user: str) -> str:
    digest = hmac.new(SECRET.encode(), user.encode(), hashlib.sha256).digest()
    return f"{user}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def as_user(user: str, **headers: str) -> dict[str, str]:
    return {"cookie": f"other=1; __session={signed(user)}", **headers}


def say(url: str, content: str, user: str = "ann", **headers: str) -> dict:
    status, _, accepted = ask(f"{url}{API}/messages", "POST", {"content": content}, as_user(user, **headers))
    assert status == 202, accepted
    return accepted


def text_of(seen) -> str:
    return "".join(event.data["text"] for event in seen if event.name == "delta")


def metric(server, name: str) -> float:
    """The sum of a metric, without what asking for it adds."""
    request = urllib.request.Request(f"{server.url}/metrics", headers={"x-api-key": server.operator})
    lines = urllib.request.urlopen(request, timeout=10).read().decode().splitlines()
    values = [line.rsplit(" ", 1) for line in lines if line.split("{")[0].split(" ")[0] == name]
    assert values, f"{name} is no metric"
    return sum(float(value) for labels, value in values if 'route="/metrics"' not in labels)


def test_packages_are_pinned_and_come_from_wherever_the_machine_is_told():
    lock = (EXAMPLE / "package-lock.json").read_text()
    assert '"resolved"' not in lock and '"integrity"' in lock


def test_a_reply_comes_piece_by_piece_also_to_who_would_have_it_packed(url):
    accepted = say(url, "[[mock tokens=20 delay_ms=60]]")
    stream = f"{url}/api/parlance{accepted['links']['stream']}"
    connection, answer = call(stream, headers=as_user("ann", **{"accept-encoding": "gzip, br"}))
    with contextlib.closing(connection):
        assert answer.status == 200 and answer.getheader("content-encoding") is None
        assert "no-store" in answer.getheader("cache-control")
        seen = [event for event in events(answer) if event.name != "retry"]
    deltas = [event for event in seen if event.name == "delta"]
    assert seen[-1].name == "done" and text_of(seen) == seen[-1].data["reply"]["content"]
    assert seen[-1].at - deltas[0].at > 0.8, "the text was held back"
    assert max(after.at - before.at for before, after in zip(deltas, deltas[1:])) < 0.8


def test_a_stream_goes_on_where_it_was(url):
    accepted = say(url, "[[mock tokens=20 delay_ms=20]]")
    stream = f"{url}/api/parlance{accepted['links']['stream']}"
    seen = []
    for event in EventSource(stream, as_user("ann")):
        seen.append(event)
        if len(seen) == 8:
            break
    rest = list(EventSource(stream, as_user("ann", **{"last-event-id": seen[-1].id})))
    whole = seen + rest
    assert len({event.id for event in whole}) == len(whole)
    text = text_of(whole)
    assert text == whole[-1].data["reply"]["content"]
    # The rest again, which may come in fewer pieces by now.
    again = list(EventSource(f"{stream}?after={seen[-1].id}", as_user("ann")))
    assert text_of(seen + again) == text, "the query is lost"


def test_who_hangs_up_is_gone_at_parlance_too(url, server):
    accepted = say(url, "[[mock tokens=400 delay_ms=50]]")
    before = metric(server, "parlance_live_subscribers")
    connection, answer = call(f"{url}/api/parlance{accepted['links']['stream']}", headers=as_user("ann"))
    next(event for event in events(answer) if event.name == "delta")
    assert metric(server, "parlance_live_subscribers") == before + 1
    answer.close()
    connection.close()
    until("the subscriber is gone", lambda: metric(server, "parlance_live_subscribers") == before, 10)
    status, _, cancelled = ask(f"{url}/api/parlance{accepted['links']['cancel']}", "POST", headers=as_user("ann"))
    assert status == 200, cancelled


def test_the_user_is_the_one_of_the_session_whatever_the_browser_says(url, server):
    forged = {"x-user-id": "bob", "x-api-key": server.operator, "authorization": f"Bearer {server.operator}"}
    session = say(url, "[[mock tokens=2]]", "ann-2", **forged)["session_id"]

    def sessions(user: str, **headers: str) -> list[str]:
        status, _, page = ask(f"{url}{API}/sessions", headers=as_user(user, **headers))
        assert status == 200, page
        return [one["id"] for one in page["data"]]

    assert session in until("it is in the record", lambda: sessions("ann-2"))
    assert sessions("bob") == [] and session in sessions("ann-2", **forged)
    assert ask(f"{url}{API}/sessions/{session}", headers=as_user("bob"))[0] == 404
    _, _, direct = ask(f"{server.url}/v1/sessions", headers={"x-api-key": server.web_key, "x-user-id": "ann-2"})
    assert [one["id"] for one in direct["data"]] == [session]


@pytest.mark.parametrize("cookie", ["", "__session=", "__session=ann", "__session=ann.", "__session=ann.AAAA"])
def test_nobody_is_answered_without_a_session(url, cookie):
    status, headers, problem = ask(f"{url}{API}/sessions", headers={"cookie": cookie} if cookie else {})
    assert (status, problem["code"]) == (401, "unauthenticated") and headers["cache-control"] == "no-store"
    other = f"__session=bob.{signed('ann').split('.')[1]}"
    assert ask(f"{url}{API}/sessions", headers={"cookie": other})[0] == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/parlance/metrics"),
        ("GET", "/api/parlance/openapi.json"),
        ("GET", f"{API}/usage"),
        ("POST", f"{API}/chat/completions"),
        ("DELETE", f"{API}/tasks/tsk_1"),
        ("POST", f"{API}/tasks/tsk_1"),
        ("GET", f"{API}/sessions/..%2f..%2fmetrics"),
        ("GET", f"{API}/ui/chat/..%2f..%2f..%2fmetrics%3f/messages"),
        ("GET", f"{API}/ui/chat/%2e%2e/messages"),
        ("GET", f"{API}/sessions/ses_1%3fa=b"),
        ("GET", f"{API}/sessions/ses_1/messages/more"),
    ],
)
def test_only_what_pages_need_is_there(url, server, method, path):
    assert ask(f"{url}{API}/sessions", headers=as_user("ann"))[0] == 200
    before = metric(server, "parlance_http_requests_total")
    status, _, _ = ask(url + path, method, {} if method == "POST" else None, as_user("ann"))
    assert status == 404, path
    assert metric(server, "parlance_http_requests_total") == before, "it came to Parlance"


def test_pages_of_other_origins_can_not_use_the_cookie(url):
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}):
        sent = as_user("ann", **headers)
        status, _, problem = ask(f"{url}{API}/messages", "POST", {"content": "a"}, sent)
        assert (status, problem["code"]) == (403, "origin_not_allowed"), headers
    for headers in ({"sec-fetch-site": "same-origin"}, {"origin": url}, {}):
        say(url, "[[mock tokens=1]]", **headers)


def test_keys_of_repeated_posts_bad_input_and_chats_pass(url):
    key = {"idempotency-key": str(uuid.uuid4())}
    first, again = (say(url, "[[mock tokens=1]]", **key)["task_id"] for _ in range(2))
    assert first == again
    status, headers, problem = ask(f"{url}{API}/messages", "POST", {"content": ""}, as_user("ann"))
    assert (status, problem["field"]) == (400, "content") and headers["content-type"] == "application/problem+json"
    said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "[[mock tokens=5]]"}]}
    body = {"id": "a chat/1", "messages": [said], "trigger": "submit-message"}
    connection, answer = call(f"{url}{API}/ui/chat", "POST", {**body, "id": "a chat"}, as_user("ann"))
    with contextlib.closing(connection):
        assert answer.getheader("x-vercel-ai-ui-message-stream") == "v1"
        assert [event.text for event in events(answer)][-1] == "[DONE]"
    messages = until("it is in the record", lambda: stored(f"{url}{API}/ui/chat/a%20chat/messages"))
    assert messages[0]["parts"][0]["text"] == "[[mock tokens=5]]"


def stored(url: str) -> list | None:
    _, _, messages = ask(url, headers=as_user("ann"))
    return messages if len(messages) == 2 else None


def test_the_key_stays_on_the_server(url, server, built):
    status, headers, body = ask(f"{url}{API}/sessions", headers=as_user("ann"))
    assert status == 200 and server.web_key not in str(headers) + str(body)
    static = [file.read_bytes() for file in (built / ".next/static").rglob("*") if file.is_file()]
    assert static and not any(b"PARLANCE_API_KEY" in text for text in static)


def test_who_is_not_there_is_said_to_be_not_there(built):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with next_server(built, "http://127.0.0.1:%d" % free.getsockname()[1], "plk_none") as url:
            status, headers, problem = ask(f"{url}{API}/sessions", headers=as_user("ann"))
            assert (status, problem["code"], headers["retry-after"]) == (502, "unavailable", "1")
