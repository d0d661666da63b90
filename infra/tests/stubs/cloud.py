"""A small Google Cloud for tests of the deploy script: what gcloud, docker and curl answer, from a state that calls change.

stubs/program stands for each of the three, first on the PATH, and asks the server here. Of each call is kept: program, arguments,
whether it changes something, how it ended, and for answers in a format of gcloud's the resource that was shown, so that a test can have
the real gcloud show it, too. What comes in by standard input is not kept.
"""

import json
import re
import socketserver
import threading


class Failed(Exception):
    pass


class Missing(Failed):
    pass


def flags_of(args):
    """Words before and between the flags, and the flags."""
    words, flags = [], {}
    for arg in args:
        if arg.startswith("--"):
            name, _, value = arg.partition("=")
            flags[name[2:]] = value if "=" in arg else True
        else:
            words.append(arg)
    return words, flags


# Formats


def show(resource, text):
    form, _, keys = text.partition("(")
    separator = re.search(r'separator="([^"]*)"', form)
    separator = separator.group(1) if separator else "\t"
    assert form.startswith("value"), f"the stub shows no {text}"
    return separator.join(value_of(resource, key) for key in split_keys(keys.removesuffix(")")))


def split_keys(text):
    keys, depth, key = [], 0, ""
    for char in text:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            keys, key = keys + [key], ""
        else:
            key += char
    return keys + [key]


def value_of(resource, key):
    each = re.fullmatch(r'([\w.]+)\.map\(\)\.format\("([^"]*)",([\w,]+)\)\.join\("([^"]*)"\)', key)
    if each:
        path, form, names, between = each.groups()
        return between.join(form.format(*(item.get(name) for name in names.split(","))) for item in at(resource, path) or [])
    listed = re.fullmatch(r'([\w.]+)\.list\(separator="([^"]*)"\)', key)
    if listed:
        return listed.group(2).join(f"{k}={v}" for k, v in sorted((at(resource, listed.group(1)) or {}).items()))
    if key.endswith(".basename()"):
        return str(at(resource, key.removesuffix(".basename()"))).rsplit("/", 1)[-1]
    value = at(resource, key)
    return "" if value is None else str(value)


def at(resource, path):
    for part in re.findall(r'"([^"]+)"|(\w+)|\[(\d+)\]', path):
        quoted, plain, index = part
        if resource is None:
            return None
        if index:
            resource = resource[int(index)] if int(index) < len(resource) else None
        else:
            resource = resource.get(quoted or plain)
    return resource


# The cloud


class Cloud:
    def __init__(self, state):
        self.state = state
        self.changes = False
        self.shown = None

    def changed(self):
        self.changes = True

    def gcloud(self, args):
        words, flags = flags_of(args)
        for failure in self.state["failing"]:
            if all(word in args for word in failure["words"]):
                self.changes = failure.get("changes", True)
                raise Failed(failure.get("stderr", "ERROR: it does not work"))
        for length in (5, 4, 3, 2):
            name = "_".join(words[:length]).replace("-", "_")
            handler = getattr(self, name, None)
            if handler:
                return self.answer(handler(words[length:], flags), flags)
        raise AssertionError(f"the stub knows no gcloud {' '.join(words)}")

    def answer(self, resource, flags):
        if resource is None or isinstance(resource, str):
            return resource or ""
        if "format" not in flags:
            return ""
        resources = resource if isinstance(resource, list) else [resource]
        # As it is now: the state goes on changing.
        self.shown = json.loads(json.dumps({"format": flags["format"], "resources": resources}))
        if not flags["format"].startswith("value"):
            return ""
        return "".join(show(one, flags["format"]) + "\n" for one in resources)

    def there(self, kind, name, sentence):
        if name not in self.state[kind]:
            raise Missing(sentence)
        return {"name": name, "email": name}

    def make(self, kind, name):
        self.changed()
        if name in self.state[kind]:
            raise Failed(f"ERROR: ALREADY_EXISTS: {name}")
        self.state[kind].append(name)

    # account and project
    def auth_list(self, words, flags):
        return [{"account": account} for account in self.state["accounts"]]

    def auth_print_access_token(self, words, flags):
        return "ya29.token-of-the-stub\n"

    def auth_configure_docker(self, words, flags):
        self.changed()

    def projects_describe(self, words, flags):
        if words[0] != self.state["project"]:
            raise Failed("ERROR: (gcloud.projects.describe) PERMISSION_DENIED: The caller does not have permission")
        return {"projectNumber": "123456789"}

    def billing_projects_describe(self, words, flags):
        return {"billingEnabled": self.state["billing"]}

    def services_list(self, words, flags):
        return [{"config": {"name": name}} for name in self.state["apis"]]

    def services_enable(self, words, flags):
        self.changed()
        self.state["apis"] += words

    def beta_services_identity_create(self, words, flags):
        self.changed()

    def projects_add_iam_policy_binding(self, words, flags):
        self.bind("project", flags)

    def bind(self, on, flags):
        self.changed()
        self.state["bindings"].append([on, flags["role"], flags["member"]])

    # registry
    def artifacts_repositories_describe(self, words, flags):
        return self.there("repositories", words[0], "ERROR: NOT_FOUND: Requested entity was not found.")

    def artifacts_repositories_create(self, words, flags):
        self.make("repositories", words[0])

    def artifacts_repositories_add_iam_policy_binding(self, words, flags):
        self.bind("repository " + words[0], flags)

    def artifacts_docker_images_describe(self, words, flags):
        if words[0] not in self.state["images"]:
            raise Missing("ERROR: (gcloud.artifacts.docker.images.describe) Image not found.")
        return {"image_summary": {"digest": self.state["images"][words[0]]}}

    def artifacts_docker_tags_add(self, words, flags):
        self.changed()

    def builds_submit(self, words, flags):
        self.changed()
        given = dict(pair.split("=", 1) for pair in flags["substitutions"].split(","))
        self.push(given["_REGION"], given["_RELEASE"])

    def push(self, region, tag):
        for image in ("ingest-api", "llm-worker", "persist-worker", "parlance"):
            self.push_one(f"{region}-docker.pkg.dev/{self.state['project']}/parlance/{image}:{tag}")

    def push_one(self, image):
        self.state["pushes"] += 1
        self.state["images"][image] = f"sha256:{self.state['pushes']:064x}"

    # accounts, network, database, bucket
    def iam_service_accounts_describe(self, words, flags):
        return self.there("service_accounts", words[0].split("@")[0], "ERROR: NOT_FOUND: Unknown service account")

    def iam_service_accounts_create(self, words, flags):
        self.make("service_accounts", words[0])

    def iam_service_accounts_add_iam_policy_binding(self, words, flags):
        self.bind("account " + words[0].split("@")[0], flags)

    def compute_networks_describe(self, words, flags):
        return self.there("networks", words[0], "ERROR: The resource 'projects/p/global/networks/n' was not found")

    def compute_networks_create(self, words, flags):
        self.make("networks", words[0])

    def compute_networks_subnets_describe(self, words, flags):
        return self.there("subnets", words[0], "ERROR: The resource 'subnetworks/s' was not found")

    def compute_networks_subnets_create(self, words, flags):
        self.make("subnets", words[0])

    def compute_addresses_describe(self, words, flags):
        return self.there("addresses", words[0], "ERROR: The resource 'addresses/a' was not found")

    def compute_addresses_create(self, words, flags):
        self.make("addresses", words[0])

    def services_vpc_peerings_list(self, words, flags):
        if flags["network"] not in self.state["networks"]:
            raise Missing("ERROR: network not found")
        return [{"peering": name} for name in self.state["peerings"]]

    def services_vpc_peerings_connect(self, words, flags):
        self.make("peerings", "servicenetworking-googleapis-com")

    def sql_instances_describe(self, words, flags):
        self.there("sql", words[0], "ERROR: HTTPError 404: The Cloud SQL instance does not exist.")
        return {"name": words[0], "ipAddresses": [{"ipAddress": "10.30.0.3"}]}

    def sql_instances_create(self, words, flags):
        self.make("sql", words[0])

    def sql_databases_describe(self, words, flags):
        return self.there("databases", words[0], "ERROR: HTTPError 404: Not Found")

    def sql_databases_create(self, words, flags):
        self.make("databases", words[0])

    def sql_users_list(self, words, flags):
        self.there("sql", flags["instance"], "ERROR: HTTPError 404: The Cloud SQL instance does not exist.")
        return [{"name": name} for name in self.state["users"]]

    def sql_users_create(self, words, flags):
        self.make("users", words[0])
        if "flags-file" in flags:
            self.sql_users_set_password(words, flags)

    def sql_users_set_password(self, words, flags):
        self.changed()
        given = re.fullmatch(r"--password: '([^']+)'\n?", self.stdin)
        if flags["flags-file"] != "/dev/stdin" or not given:
            raise Failed("ERROR: no password in the flags")
        self.state["passwords"][words[0]] = given.group(1)

    def storage_buckets_describe(self, words, flags):
        return self.there("buckets", words[0], "ERROR: gs://b not found: 404.")

    def storage_buckets_create(self, words, flags):
        self.make("buckets", words[0])

    def storage_buckets_add_iam_policy_binding(self, words, flags):
        self.bind("bucket " + words[0], flags)

    # secrets
    def secrets_describe(self, words, flags):
        return self.there("secrets", words[0], f"ERROR: NOT_FOUND: Secret [projects/1/secrets/{words[0]}] not found")

    def secrets_create(self, words, flags):
        self.changed()
        if words[0] in self.state["secrets"]:
            raise Failed("ERROR: ALREADY_EXISTS")
        self.state["secrets"][words[0]] = [{"number": 1, "enabled": True, "value": self.stdin}]

    def secrets_add_iam_policy_binding(self, words, flags):
        self.bind("secret " + words[0], flags)

    def secrets_versions_list(self, words, flags):
        versions = self.state["secrets"][words[0]]
        found = [{"name": f"projects/1/secrets/{words[0]}/versions/{one['number']}"} for one in versions if one["enabled"]]
        found.reverse()
        return found[: int(flags.get("limit", 1000))]

    def secrets_versions_add(self, words, flags):
        self.changed()
        versions = self.state["secrets"][words[0]]
        versions.append({"number": len(versions) + 1, "enabled": True, "value": self.stdin})
        return {"name": f"projects/1/secrets/{words[0]}/versions/{len(versions)}"}

    def secrets_versions_access(self, words, flags):
        versions = [one for one in self.state["secrets"][flags["secret"]] if one["enabled"]]
        if words[0] != "latest":
            versions = [one for one in versions if str(one["number"]) == words[0]]
        return versions[-1]["value"]

    def secrets_versions_disable(self, words, flags):
        self.changed()
        self.state["secrets"][flags["secret"]][int(words[0]) - 1]["enabled"] = False

    # topics
    def pubsub_topics_add_iam_policy_binding(self, words, flags):
        self.bind("topic " + words[0], flags)

    def pubsub_subscriptions_add_iam_policy_binding(self, words, flags):
        self.there("subscriptions", words[0], "ERROR: NOT_FOUND: Resource not found")
        self.bind("subscription " + words[0], flags)

    def pubsub_subscriptions_describe(self, words, flags):
        return self.there("subscriptions", words[0], "ERROR: NOT_FOUND: Resource not found (resource=s).")

    # jobs
    def job(self, name):
        if name not in self.state["jobs"]:
            raise Missing(f"ERROR: (gcloud.run.jobs.describe) Cannot find job [{name}].")
        return self.state["jobs"][name]

    def run_jobs_describe(self, words, flags):
        return {"metadata": {"name": words[0], "labels": self.job(words[0])["labels"]}}

    def run_jobs_deploy(self, words, flags):
        self.changed()
        self.state["jobs"].setdefault(words[0], {"labels": {}})["flags"] = flags

    def run_jobs_update(self, words, flags):
        self.changed()
        job = self.job(words[0])
        if "image" in flags:
            job.setdefault("flags", {})["image"] = flags["image"]
        for name in filter(None, flags.get("remove-labels", "").split(",")):
            job["labels"].pop(name, None)
        job["labels"].update(pair.split("=") for pair in filter(None, flags.get("update-labels", "").split(",")))
        for name, value in job["labels"].items():
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
                raise Failed(f"ERROR: invalid label {name}={value}")

    def run_jobs_execute(self, words, flags):
        self.changed()
        job = self.job(words[0])
        arguments = flags.get("args", job["flags"].get("args"))
        self.state["executions"].append([words[0], job["flags"]["image"], arguments])
        if words[0] == "parlance-pubsub":
            self.state["subscriptions"] = ["llm-worker", "llm-memory", "persist-requests", "persist-replies", "webhooks"]

    # services
    def service(self, name):
        if name not in self.state["services"]:
            raise Missing(f"ERROR: (gcloud.run.services.describe) Cannot find service [{name}]")
        return self.state["services"][name]

    def run_services_describe(self, words, flags):
        service = self.service(words[0])
        ready = [one["name"] for one in service["revisions"] if one["ready"]]
        return {
            "metadata": {"name": words[0], "annotations": {"run.googleapis.com/ingress": service["ingress"]}},
            "spec": {"template": {"spec": {"containers": [{"image": service["revisions"][-1]["image"]}]}}},
            "status": {
                "url": f"https://{words[0]}-abcdefghij-ew.a.run.app",
                "latestCreatedRevisionName": service["revisions"][-1]["name"],
                "latestReadyRevisionName": ready[-1] if ready else None,
                "traffic": service["traffic"],
            },
        }

    def run_deploy(self, words, flags):
        self.changed()
        name = words[0]
        new = name not in self.state["services"]
        if new and "no-traffic" in flags:
            raise Failed("ERROR: --no-traffic not supported when creating a new service.")
        if "@sha256:" not in flags["image"]:
            raise Failed("ERROR: the stub takes images by digest only")
        if new:
            self.state["services"][name] = {"ingress": flags.get("ingress", "all"), "revisions": [], "traffic": []}
        self.revise(name, {"image": flags["image"]}, flags)

    def run_services_update(self, words, flags):
        self.changed()
        self.revise(words[0], {}, flags)

    def revise(self, name, change, flags):
        service = self.service(name)
        last = service["revisions"][-1] if service["revisions"] else {"secrets": "", "variables": ""}
        ready = name not in self.state["unready"]
        revision = {**last, **change, "name": f"{name}-{len(service['revisions']) + 1:05d}-abc", "ready": ready}
        revision["secrets"] = flags.get("set-secrets", flags.get("update-secrets", last["secrets"]))
        if "update-labels" in flags:
            revision["release"] = flags["update-labels"].removeprefix("release=")
        revision["variables"] = flags.get("set-env-vars", last["variables"])
        service["revisions"].append(revision)
        if not ready:
            raise Failed(f"ERROR: Revision '{revision['name']}' is not ready and cannot serve traffic. The startup probe failed.")
        if "no-traffic" in flags:
            service["traffic"] = [one for one in service["traffic"] if one.get("percent") or one.get("tag") != flags.get("tag")]
            service["traffic"].append({"revisionName": revision["name"], "tag": flags["tag"]})
        else:
            service["traffic"] = [{"revisionName": revision["name"], "percent": 100}]

    def run_services_update_traffic(self, words, flags):
        self.changed()
        service = self.service(words[0])
        traffic = service["traffic"]
        gone = flags.get("remove-tags", "").split(",")
        tags = {one["tag"]: one["revisionName"] for one in traffic if one.get("tag") and one["tag"] not in gone}
        shares = {one["revisionName"]: one["percent"] for one in traffic if one.get("percent")}
        if "to-revisions" in flags:
            revision, percent = flags["to-revisions"].split("=")
            if revision not in [one["name"] for one in service["revisions"] if one["ready"]]:
                raise Failed(f"ERROR: Revision '{revision}' is not found")
            shares = {revision: int(percent)}
        if "update-tags" in flags:
            tag, revision = flags["update-tags"].split("=")
            tags[tag] = revision
        service["traffic"] = [{"revisionName": name, "percent": share} for name, share in shares.items()]
        service["traffic"] += [{"revisionName": name, "tag": tag} for tag, name in tags.items()]

    def beta_run_worker_pools_describe(self, words, flags):
        if words[0] not in self.state["pools"]:
            raise Missing(f"ERROR: (gcloud.beta.run.worker-pools.describe) Cannot find worker pool [{words[0]}]")
        return {"spec": {"template": {"spec": {"containers": [{"image": self.state["pools"][words[0]]}]}}}}

    def beta_run_worker_pools_update(self, words, flags):
        self.changed()
        self.state["pools"][words[0]] = flags["image"]

    def run_revisions_describe(self, words, flags):
        service = self.service(words[0].rsplit("-", 2)[0])
        if words[0] not in [one["name"] for one in service["revisions"]]:
            raise Missing(f"ERROR: (gcloud.run.revisions.describe) Cannot find revision [{words[0]}]")
        [revision] = [one for one in service["revisions"] if one["name"] == words[0]]
        return {"metadata": {"name": words[0], "labels": {"release": revision.get("release")}}}

    def run_revisions_list(self, words, flags):
        return [
            {"metadata": {"name": one["name"]}, "status": {"imageDigest": one["image"]}}
            for one in self.service(flags["service"])["revisions"]
        ]

    # the rest
    def logging_read(self, words, flags):
        return []

    def eventarc_triggers_describe(self, words, flags):
        return self.there("triggers", words[0], "ERROR: NOT_FOUND: Resource not found")

    def workflows_run(self, words, flags):
        self.changed()
        json.loads(flags["data"])

    def docker(self, args):
        words, flags = flags_of(args)
        if words[:2] == ["buildx", "version"]:
            return ""
        assert words[:2] == ["buildx", "build"] and "push" in flags, args
        self.changed()
        if "docker" in self.state["unready"]:
            raise Failed("ERROR: failed to solve")
        self.push_one(flags["tag"])
        return ""

    def curl(self, args):
        url = next(arg for arg in args if arg.startswith("https://"))
        # A look, but one that a dry run leaves to whoever runs its output.
        self.changes = "monitoring.googleapis.com" not in url
        if not self.changes:
            if "header = \"Authorization: Bearer ya29.token-of-the-stub\"" not in self.stdin:
                raise Failed("curl: (22) The requested URL returned error: 401")
            metric = next(arg for arg in args if arg.startswith("filter=")).split('"')[1]
            return json.dumps(self.state["series"].get(metric, {}))
        if any(part in url for part in self.state["unhealthy"]):
            raise Failed("curl: (22) The requested URL returned error: 503")
        return self.state["without_key"] if "--write-out" in args else ""


class Server(socketserver.ThreadingTCPServer):
    """Answers stubs/program, one call after the other."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.turn = threading.Lock()
        self.state, self.calls = {}, []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def call(self, program, args, stdin):
        with self.turn:
            cloud = Cloud(self.state)
            cloud.stdin = stdin
            code, output, errors = 0, "", ""
            try:
                output = getattr(cloud, program)(args)
            except Failed as failed:
                code, errors = (22 if program == "curl" else 1), f"{failed}\n"
            except Exception as error:
                code, errors = 70, f"the stub: {error!r}\n"
            call = {"program": program, "args": args, "changes": cloud.changes, "code": code, "shown": cloud.shown}
            self.calls.append(call | {"output": output if cloud.shown else ""})
            return code, output, errors


class Answer(socketserver.StreamRequestHandler):
    """Words that end with NUL: how many arguments, the program, the arguments, standard input. Back: exit code, output, errors."""

    def handle(self):
        read = b""
        while read.count(b"\0") < 1 or read.count(b"\0") < int(read.split(b"\0")[0]) + 3:
            more = self.request.recv(65536)
            if not more:
                return
            read += more
        count, program, *rest = read.decode().split("\0")
        code, output, errors = self.server.call(program, rest[: int(count)], rest[int(count)])
        self.wfile.write(f"{code}\0{output}\0{errors}\0".encode())
