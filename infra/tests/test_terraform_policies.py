"""The policies of infra/policy hold for dev and prod, however they are set, and each refuses what it is there for."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import sys

import hcl2
import pytest

from terraform_run import EVERYTHING, INFRA, VARIABLES, State

sys.path.insert(0, str(INFRA))
import policy as policies  # noqa: E402

CONFIGURATIONS = {
    "dev, the least": ("dev", VARIABLES | {"environment": "dev"}),
    "dev, everything": ("dev", EVERYTHING | {"environment": "dev"}),
    "prod, the least": ("prod", VARIABLES | {"environment": "prod"}),
    "prod, everything": ("prod", EVERYTHING | {"environment": "prod"}),
    "prod, public": ("prod", EVERYTHING | {"environment": "prod", "ingest_access": "public"}),
    "prod, no services yet": ("prod", VARIABLES | {"environment": "prod", "first_images": None}),
    # Other than dev and prod have it: worker pools, a connector, behind a load balancer, Cloud Run's check in front.
    "pull": (
        "stack",
        VARIABLES
        | {
            "environment": "prod",
            "delivery": "pull",
            "connector": True,
            "ingest_access": "iam",
            "synthetic_chat": False,
            "ingest_invokers": {"web": "serviceAccount:web@my-app.iam.gserviceaccount.com"},
            "ingest_ingress": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
            "metrics_sidecar_image": EVERYTHING["metrics_sidecar_image"],
            "build_deploys": True,
            "webhooks": True,
        },
    ),
}
# A root of its own for the stack: what the environments fix can then be set.
STACK = {
    "region": "europe-west1",
    "deletion_protection": True,
    "immutable_tags": True,
    "synthetic_chat": False,
    "execution_environment": "EXECUTION_ENVIRONMENT_GEN2",
    "database": {"tier": "db-custom-2-7680", "high_availability": True, "max_connections": 200},
    "sizes": {
        name: {"min": 1, "max": 3, "concurrency": 80, "cpu": "1", "memory": "512Mi", "cpu_always_on": True}
        for name in ("ingest_api", "llm_worker", "persist_worker")
    },
}


@pytest.fixture(scope="session")
def rendered(workspace):
    """What each configuration comes to."""

    def render(name: str) -> State:
        root, variables = CONFIGURATIONS[name]
        if root == "stack":
            return dataclasses.replace(workspace.render(workspace.folder / "modules" / "stack", STACK | variables), variables=variables)
        given = {key: value for key, value in variables.items() if key != "environment"}
        # The policies ask for the environment's name, which its folder says.
        return dataclasses.replace(workspace.render(workspace.folder / "envs" / root, given), variables=variables)

    return render


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_policy_holds(rendered, name):
    state = rendered(name)
    assert len(state.resources) > 50, "nothing was made"
    broken = [f"{policy}: {sentence}" for policy, check in policies.ALL.items() for sentence in check(state)]
    assert broken == []


@pytest.fixture(scope="session")
def broken(workspace) -> State:
    folder = INFRA / "policy" / "broken"
    root = workspace.new_root("broken", {file.name: file.read_text() for file in folder.glob("*.tf")})
    return workspace.render(root, {})


@pytest.mark.parametrize("policy", policies.ALL)
def test_each_policy_refuses_its_example(broken, policy):
    example = (INFRA / "policy" / "broken" / f"{policy}.tf").read_text()
    # What the policy is about: resources by its name; with `…_two` beside `…_one`, the second is the one too many.
    wanted = {name for name in re.findall(r'^resource "\w+" "(\w+)"', example, re.MULTILINE) if name.startswith(policy)}
    wanted -= {f"{policy}_one"}
    found = list(policies.ALL[policy](broken))
    unrefused = {name for name in wanted if not any(re.search(rf"\b{name}\b", sentence) for sentence in found)}
    if policy == "reading_secrets_is_audited":
        assert found, "nothing was refused"
    else:
        assert wanted and not unrefused, found


def test_every_example_belongs_to_a_policy():
    examples = {file.stem for file in (INFRA / "policy" / "broken").glob("*.tf")} - {"versions"}
    assert examples == set(policies.ALL)


# What only the source can tell


def parsed(text: str) -> dict:
    return hcl2.loads(text)


def unquoted(text: str) -> str:
    return text.strip('"')


def undescribed(config: dict) -> list[str]:
    """Variables without a description or a type, outputs without a description."""
    wrong = []
    for kind, needed in (("variable", ("description", "type")), ("output", ("description",))):
        for entry in config.get(kind, []):
            for name, body in entry.items():
                wrong += [f"{kind} {unquoted(name)} has no {field}" for field in needed if not body.get(field)]
    return wrong


SOURCES = sorted(
    file for file in INFRA.glob("**/*.tf") if ".terraform" not in file.parts and "broken" not in file.parts
)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(INFRA)))
def test_variables_are_described_and_typed(file: pathlib.Path):
    assert undescribed(parsed(file.read_text())) == []


def test_undescribed_variables_are_refused():
    text = 'variable "a" {\n  type = string\n}\nvariable "b" {\n  description = "B."\n}\noutput "c" {\n  value = 1\n}\n'
    assert undescribed(parsed(text)) == ["variable a has no description", "variable b has no type", "output c has no description"]


def unowned(text: str) -> list[str]:
    """What a service, pool or job would take back from whoever deploys."""
    wrong = []
    blocks = re.findall(r'^resource "(google_cloud_run_v2_\w+)" "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    for kind, name, body in blocks:
        needed = {
            "google_cloud_run_v2_service": ["template[0].containers[0].image", "template[0].revision", "traffic"],
            "google_cloud_run_v2_worker_pool": ["template[0].containers[0].image", "template[0].revision", "instance_splits"],
            "google_cloud_run_v2_job": ["template[0].template[0].containers[0].image", "annotations"],
        }.get(kind, None)
        if needed is None:
            continue
        ignored = re.search(r"ignore_changes\s*=\s*\[(.*?)\n\s*\]", body, re.DOTALL)
        named = {line.strip().rstrip(",") for line in ignored[1].splitlines()} if ignored else set()
        wrong += [f"{kind}.{name}: {field}" for field in [*needed, "client", "client_version"] if field not in named]
    return wrong


def test_deployments_own_images_and_traffic():
    files = [file for file in SOURCES if 'resource "google_cloud_run_v2_' in file.read_text()]
    assert {file.parent.name for file in files} == {"run_service", "worker_pool", "run_job"}
    assert [line for file in files for line in unowned(file.read_text())] == []


def test_services_that_would_take_deployments_back_are_refused():
    text = 'resource "google_cloud_run_v2_service" "s" {\n  lifecycle {\n    ignore_changes = [\n      traffic,\n      client,\n    ]\n  }\n}\n'
    assert unowned(text) == [
        "google_cloud_run_v2_service.s: template[0].containers[0].image",
        "google_cloud_run_v2_service.s: template[0].revision",
        "google_cloud_run_v2_service.s: client_version",
    ]


# Sizes


def test_dev_costs_nothing_while_nobody_calls_and_prod_is_always_warm(rendered):
    least = {
        name: {one.values["name"]: one.values["scaling"][0]["min_instance_count"] for one in rendered(name).of("google_cloud_run_v2_service")}
        for name in ("dev, the least", "prod, the least")
    }
    assert set(least["dev, the least"].values()) == {0}
    assert least["prod, the least"]["ingest-api"] >= 2 and min(least["prod, the least"].values()) >= 1


def test_without_images_there_is_no_service_and_with_pull_there_are_pools(rendered):
    assert not rendered("prod, no services yet").of("google_cloud_run_v2_service", "google_cloud_run_v2_job", "google_eventarc_trigger")
    pull = rendered("pull")
    assert {one.values["name"] for one in pull.of("google_cloud_run_v2_worker_pool")} == {"llm-worker-pool", "persist-worker-pool"}
    assert {one.values["name"] for one in pull.of("google_cloud_run_v2_service")} == {"ingest-api"}
    assert not any(one.values["push_config"] for one in pull.of("google_pubsub_subscription"))


def test_the_deployer_may_do_what_its_workflow_says_that_it_needs(rendered):
    readme = (INFRA / "workflows" / "README.md").read_text()
    (row,) = re.findall(r"^\| custom role `parlanceDeployer`: (.*?) \|", readme, re.MULTILINE)
    role = rendered("prod, the least").one("google_project_iam_custom_role")
    assert set(role.values["permissions"]) == set(re.findall(r"`([\w.]+)`", row))
