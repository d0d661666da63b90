"""What Terraform tells each program is what the program takes: the real binaries read it and start.

Nothing answers where the settings point (a private address, Google's metadata server), so they come up without their
database, as they do while it is away.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import subprocess

import pytest

from parlance_binaries import ROOT, binary
from terraform_run import EVERYTHING, VARIABLES, State

SERVICES = ("ingest-api", "llm-worker", "persist-worker")
SECRETS = {"id-secret": "0123456789abcdef" * 4, "llm-api-key": "sk-test", "llm-fallback-api-key": "sk-other"}
CONFIGURATIONS = {"dev": VARIABLES, "prod": EVERYTHING}


@pytest.fixture(scope="module")
def rendered(workspace) -> dict[str, State]:
    return {name: workspace.render(workspace.folder / "envs" / name, given) for name, given in CONFIGURATIONS.items()}


def environment(state: State, program: str) -> dict[str, str]:
    """As an instance has it: Cloud Run sets PORT, and puts the secrets' values in."""
    secrets = {name: SECRETS[secret] for name, secret in state.outputs["secret_env"][program].items()}
    return state.outputs["env"][program] | secrets | {"PORT": "0"}


def here(env: dict[str, str]) -> dict[str, str]:
    """For a start on this machine: nobody else is let in, no port is taken that others may have, nothing is waited for."""
    metrics = {"METRICS_PORT": str(20000 + os.getpid() % 10000)} if "METRICS_PORT" in env else {}
    return env | {"HOST": "127.0.0.1", "DB_CONNECT_TIMEOUT": "100ms", "DB_HOST": "127.0.0.1", "DB_PORT": "9"} | metrics


def start(program: str, env: dict[str, str]) -> tuple[int | None, str]:
    """Starts it until it is ready, or gives up: its exit code, if it ended by itself, and what it said."""
    process = subprocess.Popen(
        [binary(program)], env=here(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = ""
    try:
        for line in process.stdout:
            said += line
            if '"ready"' in line:
                return None, said
        return process.wait(30), said
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("program", SERVICES)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_each_service_starts_with_its_settings(rendered, name, program):
    code, said = start(program, environment(rendered[name], program))
    assert code is None and "these settings can't be used" not in said, said


@pytest.mark.parametrize(
    ("program", "without", "named"),
    [
        ("ingest-api", "ID_SECRET", "ID_SECRET"),
        ("ingest-api", "AUTH_", "AUTH_API_KEYS"),
        ("ingest-api", "DB_USER", "DB_USER"),
        ("llm-worker", "LLM_BASE_URL", "LLM_BASE_URL"),
        ("llm-worker", "PUSH_AUDIENCE", "PUSH_AUDIENCE"),
        ("persist-worker", "PUBSUB_PROJECT_ID", "PUBSUB_PROJECT_ID"),
    ],
)
def test_a_missing_setting_would_be_noticed(rendered, program, without, named):
    whole = environment(rendered["dev"], program)
    env = {name: value for name, value in whole.items() if not name.startswith(without)}
    assert len(env) < len(whole)
    code, said = start(program, env)
    assert code == 2 and named in said, said


def test_webhooks_reach_both_services_that_take_part(rendered):
    env = {program: environment(rendered["prod"], program) for program in SERVICES}
    assert env["ingest-api"]["WEBHOOKS"] == env["persist-worker"]["WEBHOOKS"] == "on"
    assert env["ingest-api"]["ID_SECRET"] == env["persist-worker"]["ID_SECRET"]
    assert "ID_SECRET" not in env["llm-worker"]


def test_jobs_read_their_settings(rendered):
    """They end for want of a database (1), not for their settings (2)."""

    def run(program: str) -> subprocess.CompletedProcess:
        env = here(environment(rendered["prod"], program))
        return subprocess.run(
            [binary("parlance"), "migrate", "status"], env=env, capture_output=True, text=True, timeout=60, check=False
        )

    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(run, ["parlance-migrate", "parlance-operator"]))
    assert [one.returncode for one in done] == [1, 1], [one.stderr for one in done]


def test_every_setting_is_one_that_there_is(rendered):
    """A name with a typing error would be ignored by the program."""
    known = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for state in rendered.values():
        for program, env in (state.outputs["env"] | state.outputs["secret_env"]).items():
            assert set(env) <= known, program
