"""Google's APIs as the deploy workflow meets them, on one port, with state: Cloud Run Admin v2, Artifact Registry, Monitoring,
Pub/Sub, Workflow Executions, the token endpoint, and the services' own addresses.

Stricter than Google where that finds mistakes: requests are checked against Cloud Run's discovery document (unknown fields are
refused), an etag has to be current, traffic must add up and name revisions that exist, operations take a few polls.
"""

import base64
import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from mocks.cloud_run import CloudRun
from mocks.refusal import Refusal

MONITORING_FIELDS = {
    "filter",
    "interval.startTime",
    "interval.endTime",
    "aggregation.alignmentPeriod",
    "aggregation.perSeriesAligner",
    "aggregation.crossSeriesReducer",
    "aggregation.groupByFields",
}


def _base64url(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _decode_part(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class GoogleCloud:
    """The state, the routes, and what a test may order to go wrong."""

    project = "acme-dev"
    region = "europe-west1"
    audience = "https://chat.example"

    def __init__(self):
        self.lock = threading.RLock()
        # (execution, method, path, body), in the order of arrival; refused ones, too.
        self.calls = []
        self.published = []
        self.executions = {}
        self.tags = {}
        self.chats = {}
        self.deleted_sessions = []
        # Called with each request before and after it is handled, outside the lock.
        self.before = lambda call: None
        self.after = lambda call: None
        # [pattern of "METHOD path", status, times]: answered instead; 0: the connection is cut.
        self.faults = []
        # By (service, share of the traffic): (requests, errors) that Monitoring reports.
        self.counts = {}
        self.default_counts = (100, 0)
        # Images (sha256:…) whose revisions are not ready to serve, or whose chats end like this.
        self.unhealthy = set()
        self.chat_outcomes = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.run = CloudRun(self.project, self.region, self.base)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def mutations(self, execution=None):
        return [
            (method, path)
            for who, method, path, _ in self.calls
            if method in ("PATCH", "POST") and "/v2/" in path and execution in (None, who)
        ]

    # -- HTTP

    def _handler(cloud):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            # Connections are kept, and an answer is sent in one piece.
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def _serve(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                url = urlsplit(self.path)
                query = parse_qsl(url.query, keep_blank_values=True)
                who = cloud._who(self.headers.get("Authorization", ""))
                call = (who, self.command, unquote(url.path), body)
                if url.path != "/token":
                    cloud.before(call)
                try:
                    with cloud.lock:
                        if url.path != "/token":
                            cloud.calls.append(call)
                        status, answer = cloud._answer(call, dict(query), query, self.headers)
                except Refusal as refusal:
                    status, answer = refusal.status, {"error": {"code": refusal.status, "message": str(refusal)}}
                if url.path != "/token":
                    cloud.after(call)
                if status == 0:
                    self.close_connection = True
                    return
                encoded = json.dumps(answer).encode() if answer is not None else b""
                with contextlib.suppress(ConnectionError):
                    self.send_response(status)
                    if answer is not None:
                        self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(encoded)))
                    self.end_headers()
                    self.wfile.write(encoded)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _serve

            def log_message(self, *_):
                pass

        return Handler

    def _who(self, authorization):
        """The execution that a token was made for, from the mock's own tokens."""
        token = authorization.removeprefix("Bearer ")
        if token.startswith("access-"):
            return token.removeprefix("access-")
        if token.count(".") == 2:
            return _decode_part(token.split(".")[1])["sub"]
        return None

    def _answer(self, call, query, pairs, headers):
        who, method, path, raw = call
        if path == "/token":
            return self._token(dict(parse_qsl(raw.decode())))
        for fault in self.faults:
            pattern, status, times = fault
            if times > 0 and re.search(pattern, f"{method} {path}"):
                fault[2] -= 1
                raise Refusal(status, "ordered by the test")
        if path.startswith("/-/"):
            return self._service_address(who, method, path, raw, headers)
        if not headers.get("Authorization", "").startswith("Bearer access-"):
            raise Refusal(401, "an access token is needed")
        if method == "GET" and raw:
            raise Refusal(400, "a GET with a body")
        body = json.loads(raw) if raw else {}
        if len(pairs) != len(query):
            raise Refusal(400, "a query parameter is given twice")
        if path.startswith("/v2/"):
            return 200, self.run.answer(method, path.removeprefix("/v2/"), query, body)
        if match := re.fullmatch(r"/v1/(projects/.+/repositories/parlance)/packages/([^/]+)/tags/([^/]+)", path):
            return 200, self._tag(method, *match.groups())
        if path == f"/v3/projects/{self.project}/timeSeries" and method == "GET":
            return 200, self._time_series(query)
        if path == f"/v1/projects/{self.project}/topics/parlance-deploys:publish" and method == "POST":
            return 200, self._publish(body)
        if match := re.fullmatch(r"/v1/projects/[^/]+/locations/[^/]+/workflows/parlance-deploy/executions/([^/]+)", path):
            state = self.executions.get(match[1])
            if state is None:
                raise Refusal(404, "no such execution")
            return 200, {"name": path.removeprefix("/v1/"), "state": state}
        raise Refusal(404, f"no route {method} {path}")

    # -- parts

    def _token(self, form):
        claims = _decode_part(form["assertion"].split(".")[1])
        execution = claims["iss"].split("@")[0]
        if "target_audience" in claims:
            payload = {"aud": claims["target_audience"], "sub": execution, "iat": 1, "exp": 32503680000}
            return 200, {"id_token": f"{_base64url({'alg': 'RS256', 'typ': 'JWT'})}.{_base64url(payload)}.c2ln"}
        return 200, {"access_token": f"access-{execution}", "expires_in": 3600, "token_type": "Bearer"}

    def _tag(self, method, repository, image, tag):
        if repository != f"projects/{self.project}/locations/{self.region}/repositories/parlance" or method != "GET":
            raise Refusal(403, "another repository")
        digest = self.tags.get((image, tag))
        if digest is None:
            raise Refusal(404, f"no tag {tag}")
        package = f"{repository}/packages/{image}"
        return {"name": f"{package}/tags/{tag}", "version": f"{package}/versions/{digest}"}

    def _time_series(self, query):
        if set(query) != MONITORING_FIELDS:
            raise Refusal(400, f"fields {sorted(query)}")
        if query["interval.startTime"] > query["interval.endTime"]:
            raise Refusal(400, "the interval ends before it starts")
        match = re.fullmatch(
            r'metric\.type="run\.googleapis\.com/request_count" AND resource\.type="cloud_run_revision"'
            r' AND resource\.labels\.service_name="([^"]+)" AND resource\.labels\.revision_name="([^"]+)"',
            query["filter"],
        )
        if match is None or int(query["aggregation.alignmentPeriod"].removesuffix("s")) < 60:
            raise Refusal(400, "filter or period")
        service, revision = match.groups()
        share = self.run.shares(service).get(revision, 0)
        requests, errors = self.counts.get((service, share), self.default_counts)
        series = [
            {"metric": {"labels": {"response_code_class": name}}, "points": [{"value": {"int64Value": str(count)}}]}
            for name, count in (("2xx", requests - errors), ("5xx", errors))
            if count
        ]
        return {"timeSeries": series, "unit": "1"} if series else {"unit": "1"}

    def _publish(self, body):
        if set(body) != {"messages"}:
            raise Refusal(400, "messages, and nothing else")
        for message in body["messages"]:
            if set(message) - {"data", "attributes"} or not all(message["attributes"].values()):
                raise Refusal(400, "a message's fields")
            event = json.loads(base64.b64decode(message["data"]))
            assert message["attributes"]["outcome"] == event["outcome"]
            self.published.append(event)
        return {"messageIds": [str(len(self.published))]}

    def _service_address(self, who, method, path, raw, headers):
        """What listens at the address of a tag: https://TAG---SERVICE-… is BASE/-/TAG---SERVICE here."""
        host, _, rest = path.removeprefix("/-/").partition("/")
        tag, _, service = host.rpartition("---")
        image = self.run.image_behind(service, tag)
        if image is None:
            raise Refusal(404, "no such address")
        digest = image.split("@")[1]
        if (method, rest) == ("GET", "health/ready"):
            if digest in self.unhealthy:
                raise Refusal(503, "not ready")
            return 200, {"status": "ready"}
        if service != "ingest-api":
            raise Refusal(404, "a worker has no API")
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if token.count(".") != 2:
            raise Refusal(401, "an identity token is needed")
        if _decode_part(token.split(".")[1])["aud"] != self.audience:
            raise Refusal(403, "a token for somebody else")
        if (method, rest) == ("POST", "v1/messages"):
            key, body = headers["Idempotency-Key"], json.loads(raw)
            if set(body) != {"content"} or not key:
                raise Refusal(400, "content, and nothing else")
            self.chats.setdefault(f"tsk_{key}", {"polls": 0, "digest": digest})
            return 202, {"task_id": f"tsk_{key}", "session_id": f"ses_{key}", "status": "queued"}
        if method == "GET" and rest.removeprefix("v1/tasks/") in self.chats:
            return 200, self._task(rest.removeprefix("v1/tasks/"))
        if method == "DELETE" and rest.startswith("v1/sessions/"):
            self.deleted_sessions.append(rest.removeprefix("v1/sessions/"))
            return 204, None
        raise Refusal(404, f"no route {method} {rest}")

    def _task(self, task):
        chat = self.chats[task]
        chat["polls"] += 1
        status, content = ("running", "") if chat["polls"] == 1 else self.chat_outcomes.get(chat["digest"], ("completed", "Ready."))
        return {
            "id": task,
            "status": status,
            "reply": {"message_id": None, "content": content},
            "usage": None,
            "error": None,
        }
