"""Runs the real terraform on our HCL, without Google Cloud and without a registry.

The provider is, by PARLANCE_TERRAFORM_PROVIDERS, a real one in a filesystem mirror (`terraform providers mirror DIR`); without it,
google_schema_provider.py with the schema in infra/schema. Environments are made on a mocked provider by `terraform test`: what
comes out has every expression evaluated.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest

INFRA = pathlib.Path(__file__).resolve().parent.parent
TESTS = INFRA / "tests"
SCHEMA = INFRA / "schema" / "google.json"
TERRAFORM = shutil.which("terraform")
REAL_PROVIDERS = os.environ.get("PARLANCE_TERRAFORM_PROVIDERS")
# What the environments' version constraint takes.
SCHEMA_VERSION = "8.0.0"
if TERRAFORM is None and os.environ.get("CI") != "true":
    pytest.skip("terraform is not on the PATH", allow_module_level=True)
DIGEST = "@sha256:" + "0123456789abcdef" * 4


def image(name: str) -> str:
    return f"europe-west1-docker.pkg.dev/my-parlance/parlance/{name}{DIGEST}"


# The least that an environment must be told.
VARIABLES = {
    "project_id": "my-parlance",
    "first_images": {name: image(name.replace("_", "-")) for name in ("ingest_api", "llm_worker", "persist_worker", "parlance")},
    "llm": {"base_url": "https://llm.example/v1", "model": "a-model"},
    "ingest_access": "unchecked",
}
# All that can be switched on.
EVERYTHING = VARIABLES | {
    "llm": VARIABLES["llm"] | {"fallback": {"base_url": "https://other.example/v1", "model": "another"}},
    "webhooks": True,
    "synthetic_chat": True,
    "auth": {
        "google_audiences": ["https://parlance.example"],
        "google_accounts": ["someone@example.com"],
        "oidc": ["https://securetoken.google.com/my-app=my-app"],
        "admins": ["admin@example.com"],
        "operators": ["operator@example.com"],
    },
    "cors_origins": ["https://app.example.com", "https://other.example.com"],
    "trusted_proxies": 2,
    "metrics_sidecar_image": "us-docker.pkg.dev/sidecars/metrics" + DIGEST,
    "traces": {"share": 0.1, "sidecar_image": "us-docker.pkg.dev/sidecars/traces" + DIGEST},
    "budget": {"billing_account": "0A1B2C-3D4E5F-6A7B8C", "monthly_units": 100},
    "daily_tokens": 1000000,
    "notification_channels": ["projects/my-parlance/notificationChannels/1"],
    "settings": {"llm_worker": {"LLM_MIDSTREAM": "continue"}},
}


@dataclasses.dataclass
class Resource:
    address: str
    type: str
    name: str
    values: dict

    def __str__(self) -> str:
        return self.address


@dataclasses.dataclass
class State:
    """What an environment comes to."""

    resources: list[Resource]
    outputs: dict
    # What those who made it chose: see policy.py.
    variables: dict

    def of(self, *types: str) -> list[Resource]:
        return [one for one in self.resources if one.type in types]

    def one(self, type: str) -> Resource:
        (found,) = self.of(type)
        return found


class Refused(Exception):
    """Terraform says no, and why."""


class Workspace:
    """A copy of infra/ in which terraform may write."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.rendered: dict[tuple, State] = {}
        for part in ("modules", "envs", "workflows"):
            shutil.copytree(INFRA / part, folder / part, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars"))
        self.environment = os.environ | {
            "TF_CLI_CONFIG_FILE": str(self._configure()),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            # The schema's provider speaks without TLS, to this machine alone.
            **({} if REAL_PROVIDERS else {"TF_DISABLE_PLUGIN_TLS": "1"}),
        }

    def _configure(self) -> pathlib.Path:
        mirror = pathlib.Path(REAL_PROVIDERS) if REAL_PROVIDERS else self._schema_mirror()
        config = self.folder / "cli.tfrc"
        config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
        return config

    def _schema_mirror(self) -> pathlib.Path:
        platform = self._terraform(["version", "-json"], self.folder, os.environ).stdout
        platform = json.loads(platform)["platform"]
        mirror = self.folder / "providers"
        program = mirror / "registry.terraform.io/hashicorp/google" / SCHEMA_VERSION / platform
        program.mkdir(parents=True)
        program /= f"terraform-provider-google_v{SCHEMA_VERSION}"
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{TESTS}/google_schema_provider.py' '{SCHEMA}'\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return mirror

    @staticmethod
    def _terraform(words: list[str], folder: pathlib.Path, environment) -> subprocess.CompletedProcess:
        return subprocess.run(
            [TERRAFORM, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    def run(self, root: pathlib.Path, *words: str) -> subprocess.CompletedProcess:
        return self._terraform(list(words), root, self.environment)

    def init(self, root: pathlib.Path) -> None:
        if (root / ".terraform").exists():
            return
        done = self.run(root, "init", "-backend=false", "-input=false", "-no-color")
        assert done.returncode == 0, done.stdout + done.stderr

    def new_root(self, name: str, files: dict[str, str]) -> pathlib.Path:
        """A configuration of its own, beside the environments, so that it can call the modules."""
        root = self.folder / "envs" / name
        root.mkdir()
        for file, text in files.items():
            (root / file).write_text(text)
        return root

    def copy_of(self, environment: str, name: str, old: str, new: str) -> pathlib.Path:
        """An environment of its own, with one thing in its main.tf changed."""
        folder = self.folder / "envs" / environment
        files = {file.name: file.read_text() for file in folder.glob("*.tf")}
        assert old in files["main.tf"]
        return self.new_root(name, files | {"main.tf": files["main.tf"].replace(old, new)})

    def validate(self, root: pathlib.Path) -> list[str]:
        """What is wrong with it, a line each."""
        self.init(root)
        done = self.run(root, "validate", "-json")
        found = json.loads(done.stdout)["diagnostics"]
        return [f"{one['summary']}: {one.get('detail', '')}" for one in found if one["severity"] == "error"]

    def render(self, root: pathlib.Path, variables: dict) -> State:
        """Makes it on a mocked provider, once."""
        key = (root, json.dumps(variables, sort_keys=True))
        if key not in self.rendered:
            self.rendered[key] = self._render(root, variables)
        return self.rendered[key]

    def _render(self, root: pathlib.Path, variables: dict) -> State:
        tests = root / "tests"
        tests.mkdir(exist_ok=True)
        shutil.copy(TESTS / "terraform" / "render.tftest.hcl", tests)
        values = root / "rendered.tfvars.json"
        values.write_text(json.dumps(variables))
        self.init(root)
        done = self.run(root, "test", "-json", "-verbose", f"-var-file={values}")
        return read(done, variables)


def read(done: subprocess.CompletedProcess, variables: dict) -> State:
    wrong, state = [], None
    for line in done.stdout.splitlines():
        event = json.loads(line)
        if event.get("type") == "diagnostic" and event["diagnostic"]["severity"] == "error":
            wrong.append(f"{event['diagnostic'].get('address', '')} {event['diagnostic']['summary']}: {event['diagnostic'].get('detail', '')}")
        elif event.get("type") == "test_state":
            state = event["test_state"]
    if wrong or state is None:
        raise Refused("\n".join(wrong) or done.stdout + done.stderr)
    outputs = {name: one.get("value") for name, one in state.get("outputs", {}).items()}
    return State(list(walk(state["root_module"])), outputs, variables)


def walk(module: dict):
    for one in module.get("resources", []):
        if one["mode"] == "managed":
            yield Resource(one["address"], one["type"], one["name"], one["values"])
    for child in module.get("child_modules", []):
        yield from walk(child)
