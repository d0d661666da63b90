"""Cloud Run Admin v2 with state: services with revisions and traffic, one job, operations that take a while."""

import copy
import json
import re
from importlib import resources

from mocks.refusal import Refusal

# Google's own description of the API, as it comes with the emulator. It knows fields up to its date; these are newer.
DISCOVERY = json.loads(resources.files("workflows_emulator").joinpath("discovery_documents/run_v2.json").read_text())
SCHEMAS = DISCOVERY["schemas"]
CALLS_TO_FINISH = 2


def check(value, schema, where):
    """Refuses what the API does not know."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"]]
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        if not isinstance(value, dict):
            raise Refusal(400, f"{where} is no map")
        for name, inner in value.items():
            if name not in schema["properties"]:
                raise Refusal(400, f"Unknown name {name} at {where}")
            check(inner, schema["properties"][name], f"{where}.{name}")
    elif kind == "object":
        for name, inner in value.items():
            check(inner, schema.get("additionalProperties", {}), f"{where}.{name}")
    elif kind == "array":
        if not isinstance(value, list):
            raise Refusal(400, f"{where} is no list")
        for position, inner in enumerate(value):
            check(inner, schema["items"], f"{where}[{position}]")
    elif kind in ("string", "integer", "boolean"):
        wanted = {"string": str, "integer": int, "boolean": bool}[kind]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise Refusal(400, f"{where} is no {kind}: {value!r}")


def input_fields(resource, schema):
    return {k: v for k, v in resource.items() if not SCHEMAS[schema]["properties"][k].get("readOnly")}


class CloudRun:
    def __init__(self, project, region, base):
        self.parent = f"projects/{project}/locations/{region}"
        self.base = base
        self.services, self.revisions, self.jobs, self.operations = {}, {}, {}, {}
        self.clock = 0
        self.pending = []
        # Images that never become ready, or that fail to start; images whose migration fails, or never ends.
        self.never_ready, self.fails_to_start = set(), set()
        self.migration_fails, self.migration_hangs = set(), set()
        # Migrations that ran, by image, in order.
        self.migrations = []
        # What every traffic write led to: (service, {revision: share}).
        self.history = []

    def _tick(self):
        self.clock += 1
        return f'"etag-{self.clock}"'

    # -- for tests

    def add_service(self, name, image, sidecar=False):
        # A value that must survive being read and written back.
        environment = [{"name": "A", "value": "it's \\ \"1\"\n"}]
        containers = [{"image": image, "ports": [{"name": "http1", "containerPort": 8080}], "env": environment}]
        if sidecar:
            containers.insert(0, {"name": "collector", "image": "gcr.io/collector@sha256:0"})
        self.services[name] = {
            "name": f"{self.parent}/services/{name}",
            "uri": f"{self.base}/-/{name}",
            "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY",
            "template": {
                "revision": f"{name}-00001-old",
                "serviceAccount": f"{name}@example.iam.gserviceaccount.com",
                "timeout": "300s",
                "containers": containers,
            },
            "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
            "trafficStatuses": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
            "etag": self._tick(),
        }
        revision = self._make_revision(name, self.services[name]["template"], f"{name}-00001-old")
        self._make_ready(name, revision)
        self.history.clear()

    def add_job(self, name, image):
        self.jobs[name] = {
            "name": f"{self.parent}/jobs/{name}",
            "template": {"template": {"containers": [{"image": image, "args": ["migrate", "init"]}], "maxRetries": 0}},
            "etag": self._tick(),
        }

    def shares(self, service):
        """Revision → share, of what really serves."""
        found = {}
        for status in self.services[service]["trafficStatuses"]:
            revision = status.get("revision") or self._short(self.services[service]["latestReadyRevision"])
            found[revision] = found.get(revision, 0) + status.get("percent", 0)
        return {revision: share for revision, share in found.items() if share}

    def tags(self, service):
        return [entry["tag"] for entry in self.services[service]["traffic"] if "tag" in entry]

    def image_of(self, revision):
        container = next(c for c in self.revisions[revision]["containers"] if "ports" in c)
        return container["image"]

    def image_behind(self, service, tag):
        for status in self.services.get(service, {}).get("trafficStatuses", []):
            if status.get("tag") == tag:
                return self.image_of(status["revision"])
        return None

    def record(self):
        return json.loads(self.jobs["parlance-migrate"]["annotations"]["parlance-deploy"])

    def job_image(self):
        return self.jobs["parlance-migrate"]["template"]["template"]["containers"][0]["image"]

    def touch_job(self):
        """The job's status changes: a new etag, and nothing that a deploy cares for."""
        self.jobs["parlance-migrate"]["etag"] = self._tick()

    # -- routes

    def answer(self, method, path, query, body):
        if not path.startswith(self.parent + "/"):
            raise Refusal(403, "another project or region")
        rest = path.removeprefix(self.parent + "/")
        kind, _, name = rest.partition("/")
        self._go_on()
        if kind == "operations" and method == "GET":
            return self._get(self.operations, path, method)
        if match := re.fullmatch(r"services/([^/]+)/revisions/([^/]+)", rest):
            return self._get(self.revisions, match[2], method)
        if kind == "services" and method == "PATCH":
            return self._patch_service(name, query, body)
        if kind == "services":
            return self._get(self.services, name, method)
        if kind == "jobs" and method == "PATCH":
            return self._patch_job(name, query, body)
        if kind == "jobs" and method == "POST" and name.endswith(":run"):
            return self._run_job(name.removesuffix(":run"), body)
        if kind == "jobs":
            return self._get(self.jobs, name, method)
        raise Refusal(404, f"no route {method} {path}")

    def _get(self, found, name, method):
        if method != "GET" or name not in found:
            raise Refusal(404, f"{name} was not found")
        return copy.deepcopy(found[name])

    def _check_etag(self, resource, body):
        if "etag" not in body:
            raise Refusal(400, "an update without an etag")
        if body["etag"] != resource["etag"]:
            raise Refusal(409, f"Conflict for resource {resource['name']}: the etag is out of date")

    # -- jobs

    def _patch_job(self, name, query, body):
        if query or name not in self.jobs:
            raise Refusal(400 if query else 404, "jobs take no mask" if query else "not found")
        check(body, {"$ref": "GoogleCloudRunV2Job"}, "job")
        job = self.jobs[name]
        self._check_etag(job, body)
        if any("run.googleapis.com" in key for key in body.get("annotations", {})):
            raise Refusal(400, "an annotation of Google's own")
        self.jobs[name] = {**input_fields(body, "GoogleCloudRunV2Job"), "name": job["name"], "etag": self._tick()}
        return self._operation(lambda: copy.deepcopy(self.jobs[name]))

    def _run_job(self, name, body):
        check(body, {"$ref": "GoogleCloudRunV2RunJobRequest"}, "request")
        image = self.job_image()
        self.touch_job()
        if image in self.migration_hangs:
            return self._operation(None)

        def finish():
            self.migrations.append(image)
            self.touch_job()
            execution = {"name": f"{self.parent}/jobs/{name}/executions/{name}-{self.clock}", "taskCount": 1}
            if image in self.migration_fails:
                return {**execution, "failedCount": 1}
            return {**execution, "succeededCount": 1}

        return self._operation(finish)

    # -- services

    def _patch_service(self, name, query, body):
        if set(query) - {"updateMask"} or name not in self.services:
            raise Refusal(400, f"query {query}")
        check(body, {"$ref": "GoogleCloudRunV2Service"}, "service")
        service = self.services[name]
        self._check_etag(service, body)
        mask = query.get("updateMask", "").split(",")
        if not set(mask) <= {"template", "traffic"}:
            raise Refusal(400, f"mask {mask}")
        if "template" in mask:
            wanted = body["template"]
            named = wanted.get("revision")
            if named in self.revisions:
                raise Refusal(409, f"Revision named '{named}' with different configuration already exists.")
        if "traffic" in mask:
            self._check_traffic(body["traffic"])
        created = None
        if "template" in mask:
            if wanted != service["template"]:
                self.clock += 1
                created = self._make_revision(name, wanted, f"{name}-{self.clock:05d}-new")
            service["template"] = wanted
        if "traffic" in mask:
            service["traffic"] = body["traffic"]
        service["etag"] = self._tick()
        latest = self._short(service["latestCreatedRevision"])
        image = self.image_of(latest)
        if created and image in self.never_ready:
            return self._operation(None)

        def finish():
            failed, before = image in self.fails_to_start, self.shares(name)
            if created and not failed:
                self._make_ready(name, created)
            elif created:
                self.revisions[created]["conditions"] = [{"type": "Ready", "state": "CONDITION_FAILED"}]
            self._route(name, before)
            service["etag"] = self._tick()
            if failed:
                raise Refusal(9, f"Revision '{latest}' is not ready and cannot serve traffic.")
            return copy.deepcopy(service)

        return self._operation(finish)

    def _check_traffic(self, traffic):
        if sum(entry.get("percent", 0) for entry in traffic) != 100:
            raise Refusal(400, "traffic must add up to 100")
        tags = [entry["tag"] for entry in traffic if "tag" in entry]
        if len(tags) != len(set(tags)):
            raise Refusal(400, "a tag twice")
        for entry in traffic:
            if entry.get("type") != "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION" or entry.get("revision") not in self.revisions:
                raise Refusal(400, f"no such revision {entry}")

    def _make_revision(self, service, template, revision):
        self.revisions[revision] = {
            "name": f"{self.parent}/services/{service}/revisions/{revision}",
            "containers": copy.deepcopy(template["containers"]),
            "annotations": dict(template.get("annotations", {})),
            "labels": dict(template.get("labels", {})),
            "conditions": [{"type": "Ready", "state": "CONDITION_RECONCILING"}],
        }
        self.services[service]["latestCreatedRevision"] = self.revisions[revision]["name"]
        return revision

    def _make_ready(self, service, revision):
        self.revisions[revision]["conditions"] = [
            {"type": "ContainerHealthy", "state": "CONDITION_SUCCEEDED"},
            {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
        ]
        self.services[service]["latestReadyRevision"] = self.revisions[revision]["name"]

    def _route(self, name, before):
        service = self.services[name]
        statuses = []
        for entry in service["traffic"]:
            status = dict(entry)
            if "tag" in entry:
                status["uri"] = f"{self.base}/-/{entry['tag']}---{name}"
            statuses.append(status)
        service["trafficStatuses"] = statuses
        for revision in self.shares(name):
            ready = {"type": "Ready", "state": "CONDITION_SUCCEEDED"}
            assert ready in self.revisions[revision]["conditions"], f"{revision} gets traffic and is not ready"
        if self.shares(name) != before:
            self.history.append((name, self.shares(name)))

    def _short(self, revision):
        return revision.rsplit("/", 1)[-1]

    # -- operations

    def _operation(self, finish):
        """`finish` gives the response or raises; None: never done."""
        self.clock += 1
        name = f"{self.parent}/operations/{self.clock}"
        self.operations[name] = {"name": name, "done": False}
        if finish is not None:
            self.pending.append([name, finish, CALLS_TO_FINISH])
        return {"name": name}

    def _go_on(self):
        """Operations end by themselves, whether anybody looks at them or not; time is counted in calls."""
        for entry in list(self.pending):
            name, finish, entry[2] = entry[0], entry[1], entry[2] - 1
            if entry[2] > 0:
                continue
            self.pending.remove(entry)
            try:
                answer = {"response": finish()}
            except Refusal as refusal:
                answer = {"error": {"code": refusal.status, "message": str(refusal)}}
            self.operations[name] = {"name": name, "done": True, **answer}
