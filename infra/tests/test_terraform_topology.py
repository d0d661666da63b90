"""Terraform makes of Pub/Sub what `parlance pubsub setup` makes: every topic, every subscription, every field."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess

import pytest

from parlance_binaries import binary
from terraform_run import INFRA, VARIABLES, State


def setup(*words: str) -> dict[tuple[str, str], dict[str, str]]:
    """What `parlance pubsub setup` would make on Google Cloud."""
    env = {"PUBSUB_PROJECT_ID": "my-parlance", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [binary("parlance"), "pubsub", "setup", "--print", "--json", *words], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {(one["kind"], one["name"]): one["fields"] for one in json.loads(done.stdout)}


def first(blocks):
    return blocks[0] if blocks else None


def described(state: State) -> dict[tuple[str, str], dict[str, str]]:
    """What Terraform would make, in the same words."""
    ours = {
        "google_pubsub_topic": [one for one in state.of("google_pubsub_topic") if one.values["name"] not in ("gcr", "parlance-deploys")],
        "google_pubsub_subscription": state.of("google_pubsub_subscription"),
    }
    names = {one.values["id"]: f"projects/my-parlance/topics/{one.values['name']}" for one in ours["google_pubsub_topic"]}
    made = {
        ("topic", one.values["name"]): {"message_retention_duration": one.values["message_retention_duration"] or "none"}
        for one in ours["google_pubsub_topic"]
    }
    for one in ours["google_pubsub_subscription"]:
        values = one.values
        retry, letters = first(values["retry_policy"]), first(values["dead_letter_policy"])
        expiration, push = first(values["expiration_policy"]), first(values["push_config"])
        token = first(push["oidc_token"]) if push else None
        account = f"{token['service_account_email']} for {token['audience']}" if token else "nobody"
        made[("subscription", values["name"])] = {
            "topic": names[values["topic"]],
            "enable_message_ordering": str(bool(values["enable_message_ordering"])).lower(),
            "filter": values["filter"] or "none",
            "ack_deadline_seconds": str(values["ack_deadline_seconds"]),
            "message_retention_duration": values["message_retention_duration"],
            "retain_acked_messages": str(bool(values["retain_acked_messages"])).lower(),
            "expiration_policy": "never" if expiration and expiration["ttl"] == "" else "sometime",
            "retry_policy": f"{retry['minimum_backoff']} to {retry['maximum_backoff']}" if retry else "at once",
            "dead_letter_policy": f"after {letters['max_delivery_attempts']} deliveries to {names[letters['dead_letter_topic']]}" if letters else "none",
            "push_config": f"push to {push['push_endpoint']} as {account}, {'unwrapped' if push['no_wrapper'] else 'wrapped'}" if push else "pull",
        }
    return made


def pushed(state: State) -> dict[tuple[str, str], dict[str, str]]:
    """With pushes, as the job parlance-operator asks for them."""
    (job,) = [one for one in state.of("google_cloud_run_v2_job") if one.values["name"] == "parlance-operator"]
    args = first(first(first(job.values["template"])["template"])["containers"])["args"]
    assert args[:3] == ["pubsub", "setup", "--check"] and len(args) == 3 + 5 + 1
    return setup(*args[3:])


@pytest.fixture(scope="module")
def environment(workspace) -> State:
    return workspace.render(workspace.folder / "envs" / "prod", VARIABLES)


def test_push_is_what_setup_makes(environment):
    wanted = pushed(environment)
    assert len(wanted) == 4 + 5 + 5 + 5, sorted(wanted)
    assert described(environment) == wanted


def test_pull_is_what_setup_makes(workspace):
    root = workspace.copy_of("dev", "pull", 'delivery = "push"', 'delivery = "pull"')
    assert described(workspace.render(root, VARIABLES)) == setup()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ack_deadline_seconds", 10),
        ("enable_message_ordering", False),
        ("retain_acked_messages", False),
        ("expiration_policy", []),
        ("retry_policy", [{"minimum_backoff": "10s", "maximum_backoff": "600s"}]),
        ("dead_letter_policy", []),
        ("push_config", []),
    ],
)
def test_each_difference_is_noticed(environment, field, value):
    changed = copy.deepcopy(environment)
    (one,) = [one for one in changed.of("google_pubsub_subscription") if one.values["name"] == "llm-worker"]
    one.values[field] = value
    assert described(changed) != pushed(environment)


def test_the_alerts_watch_what_there_is(environment):
    names = {one.values["name"] for one in environment.of("google_pubsub_subscription")}
    variables = (INFRA / "modules" / "observability" / "variables.tf").read_text()
    block = variables.split('variable "subscriptions"')[1].split("\n}\n")[0]
    watched = set(re.findall(r"^    ([a-z-]+) += \d+$", block, re.MULTILINE))
    assert watched == {name for name in names if not name.endswith("-dead-letters")}
