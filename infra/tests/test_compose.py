"""compose.yaml: valid, in step with the Dockerfile and the settings, and a conversation through it: the same images, commands
and environment, started without Docker on a real Postgres and Google's emulator."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import uuid
from pathlib import Path

import pg8000.native
import pytest
import requests
import yaml
from image_build import IMAGES, ROOT, SERVICES

COMPOSE = ROOT / "compose.yaml"
PATIENCE = 60
VARIABLES = {"ID_SECRET": "00112233445566778899aabbccddeeff" * 2, "DB_PASSWORD": "of-the-app", "DB_OWNER_PASSWORD": "of-the-owner"}


def interpolated(value, variables):
    """As compose does: ${NAME:-default}, ${NAME:?error}, $$."""
    if isinstance(value, dict):
        return {key: interpolated(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def one(match):
        if match[0] == "$$":
            return "$"
        name, kind, word = match["name"], match["kind"], match["word"]
        if variables.get(name):
            return variables[name]
        if kind == ":?":
            raise KeyError(f"{name}: {word}")
        return word or ""

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<word>[^}]*))?\}", one, value)


def compose(variables=VARIABLES):
    raw = yaml.safe_load(COMPOSE.read_text())
    return interpolated({key: raw[key] for key in ("services", "configs", "volumes")}, variables)


def test_it_is_valid():
    checker = Path(sys.executable).with_name("check-jsonschema")
    check = [checker, "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*check, COMPOSE], check=True)
    bad = COMPOSE.read_text().replace("read_only: true", "read_only: [1]")
    assert subprocess.run([*check, "-"], input=bad, text=True, stdout=subprocess.DEVNULL, check=False).returncode != 0


@pytest.mark.parametrize("missing", VARIABLES)
def test_no_secret_has_a_default(missing):
    with pytest.raises(KeyError, match="first lines of compose.yaml"):
        compose(VARIABLES | {missing: ""})


def test_it_agrees_with_the_dockerfile_and_the_settings():
    services = compose()["services"]
    known = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {service["build"]["target"] for service in services.values() if "target" in service.get("build", {})} == set(IMAGES)
    for name, service in services.items():
        if "target" in service.get("build", {}):
            assert set(service["environment"]) <= known, f"{name}: {set(service['environment']) - known}"
            assert service["read_only"] and service["cap_drop"] == ["ALL"]
        if name in SERVICES:
            assert service["healthcheck"]["test"] == ["CMD", f"/{name}", "health"]
        for port in service.get("ports", []):
            assert name == "ingest-api" and port.startswith("127.0.0.1:")
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for {other}, which nobody asks how it is"
        image = service.get("image", "")
        assert not image or re.search(r":\d[^:]*$", image), f"{image}: no exact tag"


# The same, without Docker.


class Container:
    """A started image: its own root, read-only, and its own user."""

    def __init__(self, stage, command, environment, **options):
        self.stage, self.environment = stage, environment
        root, user = str(stage.root), stage.user
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | stage.environment | environment
        script = (
            'mkdir -p "$0/proc" "$0/dev" && mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&'
            ' mount -o remount,bind,ro,nosuid "$0" && exec /usr/sbin/chroot --userspec="$1" "$0" "${@:2}"'
        )
        self.process = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", script, root, user, *stage.entrypoint, *command],
            env=variables, stdin=subprocess.DEVNULL, text=True, **options,
        )

    def run(self, *command):
        """Another process of the same container, as a health check is one."""
        again = Container.__new__(Container)
        stage = self.stage
        again.__init__(type(stage)(**(vars(stage) | {"entrypoint": []})), command, self.environment, stderr=subprocess.DEVNULL)
        return again.process.wait(PATIENCE)


def run_to_the_end(stage, command, environment):
    container = Container(stage, command, environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said, complained = container.process.communicate(timeout=PATIENCE)
    assert container.process.returncode == 0, f"{command}: {said}{complained}"
    return said


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def parts():
    postgres, emulator = (os.environ.get(name) for name in ("PARLANCE_TEST_POSTGRES_URL", "PARLANCE_TEST_PUBSUB_EMULATOR_HOST"))
    if not (postgres and emulator):
        how = 'needs Postgres and the emulator: eval "$(cargo xtask services up)"'
        pytest.fail(how) if os.environ.get("CI") else pytest.skip(how)
    return urllib.parse.urlsplit(postgres), emulator


@pytest.fixture(scope="module")
def database(parts):
    """What the container of Postgres makes of its variables and its script, under names of this run."""
    url, _ = parts
    run = uuid.uuid4().hex[:12]
    names = {"database": f"compose_{run}", "owner": f"owner_{run}", "app": f"app_{run}"}
    script = compose()["configs"]["app-login"]["content"]
    create_app = re.search(r"^CREATE ROLE app .*;$", script, re.MULTILINE)[0]
    admin = pg8000.native.Connection(
        url.username or "postgres", host=url.hostname, port=url.port, password=url.password, database=url.path.strip("/") or "postgres"
    )
    # POSTGRES_USER is a superuser.
    admin.run(f"CREATE ROLE {names['owner']} SUPERUSER LOGIN PASSWORD '{VARIABLES['DB_OWNER_PASSWORD']}'")
    admin.run(f"CREATE DATABASE {names['database']} OWNER {names['owner']}")
    admin.run(create_app.replace(" app ", f" {names['app']} ").replace(":'password'", f"'{VARIABLES['DB_PASSWORD']}'"))
    yield names
    admin.run(f"DROP DATABASE {names['database']} WITH (FORCE)")
    admin.run(f"DROP ROLE {names['owner']}")
    admin.run(f"DROP ROLE {names['app']}")
    admin.close()


@pytest.fixture(scope="module")
def stack(images, parts, database):
    """Every service of compose.yaml that is one of our images, in the order that depends_on asks for."""
    url, emulator = parts
    services = compose()["services"]
    logins = {"owner": database["owner"], "app": database["app"]}
    project, running, done, ports = f"compose-{uuid.uuid4().hex[:8]}", {}, {"postgres", "pubsub"}, {}

    def told(name):
        environment = dict(services[name]["environment"])
        environment |= {"DB_HOST": url.hostname, "DB_PORT": str(url.port), "DB_NAME": database["database"]}
        environment |= {"PUBSUB_EMULATOR_HOST": emulator, "PUBSUB_PROJECT_ID": project}
        environment["DB_USER"] = logins[environment["DB_USER"]]
        return environment

    try:
        waiting = [name for name, service in services.items() if "target" in service.get("build", {}) and "profiles" not in service]
        while waiting:
            name = next(name for name in waiting if set(services[name]["depends_on"]) <= done)
            waiting.remove(name)
            stage = images.stages[services[name]["build"]["target"]]
            environment = told(name)
            if name in SERVICES:
                ports[name] = free_port()
                running[name] = Container(stage, [], environment | {"PORT": str(ports[name])}, stdout=subprocess.DEVNULL)
            else:
                run_to_the_end(stage, [logins.get(word, word) for word in services[name]["command"]], environment)
            done.add(name)
        for name, container in running.items():
            wait_until_healthy(name, container, services[name]["healthcheck"]["test"][1:])
        yield {"ports": ports, "running": running, "told": told, "images": images, "services": services}
    finally:
        for container in running.values():
            container.process.kill()
            container.process.wait()


def wait_until_healthy(name, container, check):
    deadline = time.monotonic() + PATIENCE
    while container.run(*check) != 0:
        assert container.process.poll() is None, f"{name} ended with {container.process.returncode}"
        assert time.monotonic() < deadline, f"{name} does not become healthy"


def test_a_conversation(stack):
    url = f"http://127.0.0.1:{stack['ports']['ingest-api']}"
    assert requests.get(f"{url}/health", timeout=PATIENCE).status_code == 200
    assert requests.post(f"{url}/v1/messages", json={"content": "Hello"}, timeout=PATIENCE).status_code == 401
    command = ["keys", "create", "--name", "me", "--user", "me", "--json"]
    made = json.loads(run_to_the_end(stack["images"].stages["parlance"], command, stack["told"]("parlance")))
    key = next(value for value in made.values() if isinstance(value, str) and value.startswith("plk_"))
    known = {"Authorization": f"Bearer {key}"}
    accepted = requests.post(f"{url}/v1/messages", json={"content": "Hello"}, headers=known, timeout=PATIENCE)
    assert accepted.status_code == 202, accepted.text
    task = requests.get(f"{url}{accepted.json()['links']['task']}?wait=30", headers=known, timeout=PATIENCE).json()
    assert task["status"] == "completed" and task["reply"]["content"], task


def test_nobody_is_root(stack):
    for name, container in stack["running"].items():
        status = Path(f"/proc/{container.process.pid}/status").read_text()
        assert re.search(r"^Uid:\s+65532\s+65532\s+65532\s+65532$", status, re.MULTILINE), f"{name}: {status}"
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE), f"{name}: {status}"


def test_a_check_of_a_service_that_is_away_fails(stack):
    for name in SERVICES:
        container = stack["running"][name]
        container.environment = container.environment | {"PORT": str(free_port())}
        assert container.run(f"/{name}", "health") == 1
        assert container.run(f"/{name}", "nonsense") == 2


def test_they_stop_in_good_order(stack):
    """The last of them: the stack is gone afterwards."""
    for container in stack["running"].values():
        container.process.send_signal(signal.SIGTERM)
    for name, container in stack["running"].items():
        assert container.process.wait(15) == 0, name
