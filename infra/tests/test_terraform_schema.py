"""Our HCL is what Terraform and the google provider take: formatted, valid for dev and prod, and wrong HCL is noticed.

Terraform itself judges, with the schema of infra/schema or, where PARLANCE_TERRAFORM_PROVIDERS names a mirror, with the real
provider and all of its own checks.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from terraform_run import EVERYTHING, INFRA, REAL_PROVIDERS, SCHEMA, TERRAFORM, VARIABLES, Refused

REQUIRED = 'terraform {\n  required_providers {\n    google = {\n      source = "hashicorp/google"\n    }\n  }\n}\n'
TOPIC = 'resource "google_pubsub_subscription" "s" {\n  name  = "s"\n  topic = "t"\n'


def unformatted(folder) -> str:
    done = subprocess.run([TERRAFORM, "fmt", "-check", "-recursive", str(folder)], capture_output=True, text=True, check=False)
    return done.stdout


def test_all_is_formatted():
    assert unformatted(INFRA) == ""


def test_what_is_not_formatted_is_noticed(tmp_path):
    (tmp_path / "a.tf").write_text('output "a" {\n value=1\n}\n')
    assert unformatted(tmp_path) != ""


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_environments_are_valid(workspace, name):
    assert workspace.validate(workspace.folder / "envs" / name) == []


@pytest.mark.parametrize(
    ("name", "text", "noticed"),
    [
        ("attribute", TOPIC + "  push_endpoint = 1\n}\n", r'An argument named "push_endpoint" is not expected here'),
        ("block", TOPIC + "  retries {\n  }\n}\n", r'Blocks of type "retries" are not expected here'),
        ("missing", 'resource "google_pubsub_subscription" "s" {\n  name = "s"\n}\n', r'The argument "topic" is required'),
        ("missing-inside", TOPIC + "  expiration_policy {\n  }\n}\n", r'The argument "ttl" is required'),
        ("type", TOPIC + '  ack_deadline_seconds = "soon"\n}\n', r"a number is required"),
        ("twice", TOPIC + '  retry_policy {\n  }\n  retry_policy {\n  }\n}\n', r"Too many retry_policy blocks"),
        ("resource", 'resource "google_pubsub_subscriptions" "s" {\n}\n', r'does not support resource type "google_pubsub_subscriptions"'),
    ],
)
def test_wrong_hcl_is_noticed(workspace, name, text, noticed):
    wrong = workspace.validate(workspace.new_root(f"wrong-{name}", {"main.tf": text, "versions.tf": REQUIRED}))
    assert any(re.search(noticed, " ".join(one.split())) for one in wrong), wrong


REFUSED = {
    "a tag instead of a digest": ({"first_images": VARIABLES["first_images"] | {"parlance": "europe-west1-docker.pkg.dev/p/parlance/parlance:v1.0.0"}}, "by its digest"),
    "a sidecar by its tag": ({"metrics_sidecar_image": "us-docker.pkg.dev/sidecars/metrics:1.2.0"}, "by its digest"),
    "no such access": ({"ingest_access": "open"}, "unchecked, public or iam"),
    "everyone as an invoker": ({"ingest_access": "iam", "synthetic_chat": False, "ingest_invokers": {"all": "allUsers"}}, "Everyone is not an invoker"),
    "a chat that can't be let in": ({"ingest_access": "iam"}, "set synthetic_chat = false"),
    "a model over plain http": ({"llm": {"base_url": "http://llm.example/v1", "model": "m"}}, "https URL"),
    "no billing account": ({"budget": {"billing_account": "mine", "monthly_units": 1}}, "gcloud billing accounts list"),
    "no project's id": ({"project_id": "My project"}, "project_id must be"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_variables_are_refused_with_what_is_accepted(workspace, name):
    wrong, said = REFUSED[name]
    with pytest.raises(Refused, match=re.escape(said)):
        workspace.render(workspace.folder / "envs" / "prod", VARIABLES | wrong)


def test_more_connections_than_the_database_takes_are_refused(workspace):
    root = workspace.copy_of("prod", "small", "max_connections   = 500", "max_connections   = 400")
    with pytest.raises(Refused, match="All instances together may hold 418 connections"):
        workspace.render(root, VARIABLES)


def test_the_schema_has_what_is_used_and_says_where_it_is_from():
    schema = json.loads(SCHEMA.read_text())
    assert re.search(r"google \d+\.\d+\.\d+", schema["source"]) and re.fullmatch(r"\d{4}-\d\d-\d\d", schema["date"])
    used = {
        name
        for file in INFRA.glob("**/*.tf")
        if ".terraform" not in file.parts
        for name in re.findall(r'^resource "(google_\w+)"', file.read_text(), re.MULTILINE)
    }
    assert set(schema["resources"]) == used, "run infra/schema/trim.py again"


@pytest.mark.skipif(not REAL_PROVIDERS, reason="PARLANCE_TERRAFORM_PROVIDERS names no mirror with the real provider")
def test_the_schema_is_the_providers_own(workspace):
    root = workspace.new_root("schema", {"versions.tf": REQUIRED})
    workspace.init(root)
    whole = workspace.run(root, "providers", "schema", "-json")
    trimmed = subprocess.run(
        [sys.executable, INFRA / "schema" / "trim.py", "x"], input=whole.stdout, capture_output=True, text=True, check=True
    )
    ours, theirs = json.loads(SCHEMA.read_text()), json.loads(trimmed.stdout)
    for part in ("provider", "resources", "data_sources"):
        assert ours[part] == theirs[part]


def test_everything_that_can_be_switched_on_is_a_variable_of_both_environments():
    for name in ("dev", "prod"):
        declared = set(re.findall(r'^variable "(\w+)"', (INFRA / "envs" / name / "variables.tf").read_text(), re.MULTILINE))
        assert set(EVERYTHING) <= declared
