"""infra/deploy-cloud-run.sh against a small Google Cloud (stubs/cloud.py): what it calls, in which order, what it leaves behind, what it
says, and that the real gcloud takes each of these calls."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import real_gcloud
from stubs import cloud as stub

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "infra/deploy-cloud-run.sh"
PROJECT = "parlance-test"
REGISTRY = f"europe-west1-docker.pkg.dev/{PROJECT}/parlance"
ORDER = ["persist-worker", "llm-worker", "ingest-api"]
# Not to be seen anywhere but in Secret Manager and Cloud SQL.
PASSWORD, KEY, NEW_KEY = "pw-5f1d0c99aa", "sk-old-7c0ffee", "sk-new-0ddba11"
ALL_APIS = """artifactregistry cloudbuild cloudresourcemanager compute iam iamcredentials logging monitoring pubsub run secretmanager
servicenetworking sqladmin""".split()
NEEDS_SDK = pytest.mark.skipif(
    real_gcloud.find_sdk() is None and os.environ.get("CI") != "true",
    reason="no Cloud SDK: https://cloud.google.com/sdk/docs/install",
)


def nothing():
    """A new project: an account, a billing account and secrets, which only people can make."""
    secret = lambda value: [{"number": 1, "enabled": True, "value": value}]
    lists = """repositories service_accounts networks subnets addresses peerings sql databases users buckets subscriptions bindings executions
    failing unready unhealthy triggers""".split()
    return {
        "accounts": ["ann@example.com"],
        "project": PROJECT,
        "billing": True,
        "apis": ["secretmanager.googleapis.com"],
        "secrets": {"id-secret": secret("a" * 64), "llm-api-key": secret(KEY), "db-password": secret(PASSWORD)},
        "images": {},
        "pushes": 1000,
        "jobs": {},
        "pools": {},
        "services": {},
        "passwords": {},
        "series": {},
        "without_key": "401",
        **{name: [] for name in lists},
    }


def in_service():
    """Made by Terraform, v1.0.0 in service, v1.1.0 built."""
    state = nothing()
    state["apis"] = [f"{name}.googleapis.com" for name in ALL_APIS]
    state["repositories"] = ["parlance", "parlance-cache"]
    state["subscriptions"] = ["llm-worker", "llm-memory", "persist-requests", "persist-replies", "webhooks"]
    state["jobs"] = {"parlance-migrate": {"labels": {}, "flags": {"image": f"{REGISTRY}/parlance@sha256:{0:064x}", "args": "migrate,init"}}}
    for number, image in enumerate([*ORDER, "parlance"]):
        state["images"][f"{REGISTRY}/{image}:v1.1.0"] = f"sha256:{100 + number:064x}"
    for name in ORDER:
        ingress = "all" if name == "ingest-api" else "internal"
        revision = {"name": f"{name}-00001-abc", "image": f"{REGISTRY}/{name}@sha256:{1:064x}", "ready": True}
        revision |= {"secrets": "LLM_API_KEY=llm-api-key:1", "variables": ""}
        traffic = [{"revisionName": revision["name"], "percent": 100}]
        state["services"][name] = {"ingress": ingress, "revisions": [revision], "traffic": traffic}
    return state


class Run:
    def __init__(self, done, server):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.state, self.calls = json.loads(json.dumps(server.state)), server.calls

    @property
    def changes(self):
        return [[call["program"], *call["args"]] for call in self.calls if call["changes"]]

    def serving(self):
        return {
            name: [one["revisionName"] for one in service["traffic"] if one.get("percent") == 100][0]
            for name, service in self.state["services"].items()
        }

    def positions(self, *words):
        return [place for place, call in enumerate(self.changes) if all(word in " ".join(call) for word in words)]


@pytest.fixture(scope="module")
def server():
    with stub.Server() as one:
        yield one
        one.shutdown()


@pytest.fixture
def cloud(tmp_path, server):
    """Runs the script, or the output of a dry run, with a state; every call is kept for the real gcloud to look at."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("gcloud", "docker", "curl"):
        (programs / name).symlink_to(Path(stub.__file__).parent / "program")

    def run(state, *words, program=None, stdin="", **settings):
        server.state, server.calls = json.loads(json.dumps(state)), []
        environment = {"PROJECT": PROJECT, "INFRASTRUCTURE": "terraform", "DEPLOY": "script", "RELEASES": "tags", **settings}
        environment |= {"STUB_PORT": str(server.server_address[1]), "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        environment |= {"PATH": f"{programs}:{os.environ['PATH']}"}
        command = program or [str(ROOT / SCRIPT), *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
        result = Run(done, server)
        seen.extend(result.calls)
        everything = done.stdout + done.stderr + json.dumps([call["args"] for call in result.calls])
        for secret in (PASSWORD, KEY, NEW_KEY, "a" * 64, "ya29.token"):
            assert secret not in everything, "a secret's value is in a command or was printed"
        assert "the stub: " not in done.stderr, done.stderr
        # Commands that people are told to run.
        told.update(re.findall(r"^ *(gcloud [^|\n]*)$", done.stdout + done.stderr, re.M) if "--dry-run" not in words else [])
        return result

    return run


seen, told = [], set()


def deploy(cloud, state, *words, **settings):
    return cloud(state, "dev", "deploy", "--release", "v1.1.0", *words, **settings)


# A first deployment, without Terraform


def test_first_deployment_makes_what_is_needed_in_order(cloud):
    run = deploy(cloud, nothing(), INFRASTRUCTURE="script")
    assert run.code == 0, run.err
    assert {f"{name}.googleapis.com" for name in ALL_APIS} <= set(run.state["apis"])
    assert set(run.state["services"]) == set(ORDER)
    steps = [
        run.positions("services enable"), run.positions("repositories create parlance "), run.positions("sql instances create"),
        run.positions("builds submit"), run.positions("jobs execute parlance-migrate", "migrate,init"),
        run.positions("--args=migrate,grant," + ",".join(f"{name}@parlance-test.iam" for name in ORDER)), run.positions("jobs execute parlance-pubsub"),
        *(run.positions(f"gcloud run deploy {name}") for name in ORDER), run.positions("curl", "/health/ready"), run.positions("/v1/sessions"),
    ]
    assert all(steps), "a step is missing"
    assert [step[0] for step in steps] == sorted(step[0] for step in steps)


def test_each_service_runs_as_itself_by_digest_and_with_its_own_secrets_only(cloud):
    run = deploy(cloud, nothing(), INFRASTRUCTURE="script")
    calls = {call[3]: " ".join(call) for call in run.changes if call[1:3] == ["run", "deploy"]}
    for name, call in calls.items():
        digest = run.state["images"][f"{REGISTRY}/{name}:v1.1.0"]
        assert f"--image={REGISTRY}/{name}@{digest}" in call
        assert f"--service-account={name}@{PROJECT}.iam.gserviceaccount.com" in call
        assert f"DB_USER={name}@{PROJECT}.iam|DB_IAM_AUTH=on" in call and "PASSWORD" not in call
        assert "--no-invoker-iam-check" in call and "path=/health/ready" in call
    assert "--set-secrets=ID_SECRET=id-secret:1 " in calls["ingest-api"] and "--ingress=all" in calls["ingest-api"]
    assert "--set-secrets=LLM_API_KEY=llm-api-key:1 " in calls["llm-worker"] and "--ingress=internal" in calls["llm-worker"]
    assert "--set-secrets" not in calls["persist-worker"] and "--ingress=internal" in calls["persist-worker"]
    push = f"PUBSUB_DELIVERY=push|PUSH_AUDIENCE=https://llm-worker-123456789.europe-west1.run.app/push|PUSH_SERVICE_ACCOUNT=parlance-push@{PROJECT}"
    assert push in calls["llm-worker"]
    readers = {(on, member.split(":")[1].split("@")[0]) for on, role, member in run.state["bindings"] if role.endswith("secretAccessor")}
    assert readers == {("secret id-secret", "ingest-api"), ("secret llm-api-key", "llm-worker"), ("secret db-password", "parlance-migrate")}
    # The password reached the database, and no command's words (the fixture looks).
    assert run.state["passwords"] == {"parlance": PASSWORD}


def test_subscriptions_push_to_the_workers_that_consume_them(cloud):
    run = deploy(cloud, nothing(), INFRASTRUCTURE="script")
    [job, image, arguments] = next(one for one in run.state["executions"] if one[0] == "parlance-pubsub")
    topology = (ROOT / "shared/src/topology.rs").read_text()
    names = set(re.findall(r'name: "([a-z-]+)"', topology))
    pushes = dict(re.findall(r"--push=([a-z-]+)=https://([a-z-]+)-123456789", arguments))
    assert set(pushes) == names and len(names) == 5
    assert {name for name, worker in pushes.items() if worker == "llm-worker"} == {"llm-worker", "llm-memory"}
    letters = {on.removeprefix("topic ") for on, role, member in run.state["bindings"] if "gcp-sa-pubsub" in member and role.endswith("publisher")}
    assert letters == {f"{name}-dead-letters" for name in names}
    topics = set(re.findall(r'Topic\("([a-z-]+)"\)', topology))
    published = {on.removeprefix("topic ") for on, role, member in run.state["bindings"] if "gcp-sa" not in member and on.startswith("topic")}
    assert published == topics | letters


def test_a_second_run_finds_everything_and_makes_nothing_twice(cloud):
    first = deploy(cloud, nothing(), INFRASTRUCTURE="script")
    second = deploy(cloud, first.state, INFRASTRUCTURE="script")
    assert second.code == 0, second.err
    for words in (["create"], ["services enable"], ["builds submit"], ["add-iam-policy-binding"], ["migrate,grant"]):
        assert second.positions(*words) == []


@pytest.mark.parametrize("stop", [["sql", "instances", "create"], ["builds", "submit"], ["run", "deploy", "llm-worker"]])
def test_repeated_after_an_interruption_it_goes_on(cloud, stop):
    state = nothing() | {"failing": [{"words": stop}]}
    first = deploy(cloud, state, INFRASTRUCTURE="script")
    assert first.code == 1
    second = deploy(cloud, first.state | {"failing": []}, INFRASTRUCTURE="script")
    assert second.code == 0, second.err
    made = [call["args"] for call in first.calls + second.calls if call["code"] == 0 and call["changes"] and "--project=" in str(call)]
    made = [" ".join(call) for call in made if ({"create", "submit"} & set(call)) and "identity" not in call]
    assert sorted(made) == sorted(set(made)), "something was made twice"
    assert set(second.serving()) == set(ORDER)


# The next release


def test_a_release_goes_out_without_traffic_then_with_all_of_it(cloud):
    run = deploy(cloud, in_service())
    assert run.code == 0, run.err
    assert run.serving() == {name: f"{name}-00002-abc" for name in ORDER}
    assert all("tag" not in one for service in run.state["services"].values() for one in service["traffic"])
    deploys = [run.positions(f"run deploy {name}", "--no-traffic", "--tag=candidate")[0] for name in ORDER]
    shifts = [run.positions(f"update-traffic {name}", f"--to-revisions={name}-00002-abc=100")[0] for name in ORDER]
    probe = run.positions("curl", "https://candidate---ingest-api", "/health/ready")[0]
    migrated = run.positions("jobs execute parlance-migrate")[0]
    assert [migrated, *deploys, probe, *shifts] == sorted([migrated, *deploys, probe, *shifts])
    # Terraform's settings are left alone.
    assert not any("--set-env-vars" in " ".join(call) or "--service-account" in " ".join(call) for call in run.changes)
    assert run.state["executions"][0][1] == f"{REGISTRY}/parlance@{run.state['images'][f'{REGISTRY}/parlance:v1.1.0']}"


def test_the_same_release_again_changes_no_traffic_and_no_record(cloud):
    first = deploy(cloud, in_service())
    second = deploy(cloud, first.state)
    assert second.code == 0, second.err
    assert second.positions("run deploy") == [] and second.positions("update-traffic") == []
    assert second.state["jobs"]["parlance-migrate"]["labels"] == first.state["jobs"]["parlance-migrate"]["labels"]


def test_docker_builds_here_and_pushes_parlance_last(cloud):
    state = in_service() | {"images": {}}
    run = deploy(cloud, state, BUILDER="docker")
    assert run.code == 0, run.err
    assert run.positions("auth configure-docker europe-west1-docker.pkg.dev")
    built = [call[4:] for call in run.changes if call[:3] == ["docker", "buildx", "build"]]
    assert [next(word for word in call if word.startswith("--target")) for call in built][-1] == "--target=parlance"
    assert len(built) == 4 and all("--sbom=true" in call and f"--tag={REGISTRY}" in " ".join(call) for call in built)


def test_where_the_workflow_deploys_the_script_ends_with_the_images(cloud):
    run = deploy(cloud, in_service() | {"images": {}}, DEPLOY="event")
    assert run.code == 0, run.err
    assert [call[:3] for call in run.changes] == [["gcloud", "builds", "submit"]]
    assert "workflows executions list parlance-deploy" in run.out


def test_two_do_not_deploy_the_same_release(cloud):
    trigger = re.search(r'name\s+= "(parlance-[a-z-]+)"\n\s+service_account = var.trigger_email', (ROOT / "infra/modules/deployer/main.tf").read_text())
    state = in_service() | {"images": {}, "triggers": [trigger.group(1)]}
    run = deploy(cloud, state)
    assert run.code == 1 and run.changes == [] and "both would deploy" in run.err
    assert cloud(state, "dev", "deploy", "--release", "g0123456789ab", RELEASES="commits").code == 0


def pulled():
    """The same with workers in worker pools, and a job for operators."""
    state = in_service()
    for name in ("persist-worker", "llm-worker"):
        state["pools"][f"{name}-pool"] = state["services"].pop(name)["revisions"][0]["image"]
    state["jobs"]["parlance-operator"] = {"labels": {}}
    return state


def test_worker_pools_get_the_image_before_ingest_gets_traffic(cloud):
    run = deploy(cloud, pulled(), WORKERS="pools")
    assert run.code == 0, run.err
    images = {f"{name}-pool": f"{REGISTRY}/{name}@{run.state['images'][f'{REGISTRY}/{name}:v1.1.0']}" for name in ORDER[:2]}
    assert run.state["pools"] == images
    order = [run.positions("worker-pools update persist"), run.positions("worker-pools update llm"), run.positions("update-traffic ingest")]
    assert [one[0] for one in order] == sorted(one[0] for one in order)
    assert run.state["jobs"]["parlance-operator"]["flags"]["image"] == run.state["jobs"]["parlance-migrate"]["flags"]["image"]


def test_worker_pools_get_their_image_back_too(cloud):
    run = deploy(cloud, pulled() | {"without_key": "200"}, WORKERS="pools")
    assert run.code == 3 and run.state["pools"] == pulled()["pools"]
    assert run.serving() == {"ingest-api": "ingest-api-00001-abc"}


def test_build_says_what_terraform_needs(cloud):
    run = cloud(in_service() | {"images": {}}, "dev", "build", "--release", "v1.1.0")
    assert run.code == 0, run.err
    digest = run.state["images"][f"{REGISTRY}/ingest-api:v1.1.0"]
    assert f'ingest_api = "{REGISTRY}/ingest-api@{digest}"' in run.out
    assert len(run.changes) == 1


# What is refused, before anything is changed


@pytest.mark.parametrize(
    ("change", "settings", "sentence"),
    [
        ({"accounts": []}, {}, "nobody is logged in"),
        ({"project": "another-one"}, {}, "PERMISSION_DENIED"),
        ({"billing": False}, {}, "has no billing account"),
        ({"repositories": []}, {}, "terraform -chdir=infra/envs/dev apply"),
        ({"jobs": {}}, {}, "there is no job parlance-migrate"),
        ({"subscriptions": ["llm-worker"]}, {}, "there is no subscription llm-memory"),
        ({}, {"WORKERS": "pools"}, "there is no worker pool persist-worker-pool"),
        ({}, {"WORKERS": "pools", "INFRASTRUCTURE": "script"}, "Terraform makes them"),
        ({}, {"PROJECT": "Not a project"}, "PROJECT=Not a project: accepted is"),
        ({}, {"DEPLOY": "now"}, "DEPLOY=now: accepted is script|event"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_changed(cloud, change, settings, sentence):
    run = deploy(cloud, in_service() | change, **settings)
    assert run.code in (1, 2)
    assert sentence in run.err
    assert run.changes == []


def test_missing_secrets_are_named_with_commands_that_make_them(cloud, tmp_path):
    state = in_service()
    del state["secrets"]["id-secret"]
    state["secrets"]["llm-api-key"][0]["enabled"] = False
    run = deploy(cloud, state)
    assert run.code == 1 and run.changes == []
    commands = [line.strip() for line in run.err.splitlines() if "gcloud secrets" in line]
    assert [re.search(r"gcloud secrets (create|versions add) ([a-z-]+)", one).groups() for one in commands] == [
        ("create", "id-secret"), ("versions add", "llm-api-key"),
    ]
    # As they are printed, they can be run: one makes a secret, one asks for it.
    made = cloud(state, program=["bash", "-c", commands[0]])
    assert made.code == 0 and re.fullmatch("[0-9a-f]{64}", made.state["secrets"]["id-secret"][0]["value"])
    made = cloud(state, program=["bash", "-c", commands[1]], stdin=NEW_KEY + "\n")
    assert made.code == 0 and made.state["secrets"]["llm-api-key"][1]["value"] == NEW_KEY


def test_a_release_of_prod_is_a_tag(cloud):
    for release in ("latest", "main", "v1.2", "v1.2.3-rc1", "g0123456789ab"):
        run = cloud(in_service(), "prod", "deploy", "--release", release)
        assert run.code == 2 and run.calls == []


def test_split_traffic_is_somebody_elses_deployment(cloud):
    state = in_service()
    worker = state["services"]["llm-worker"]
    worker["revisions"].append(worker["revisions"][0] | {"name": "llm-worker-00002-abc"})
    worker["traffic"] = [{"revisionName": "llm-worker-00001-abc", "percent": 90}, {"revisionName": "llm-worker-00002-abc", "percent": 10}]
    run = deploy(cloud, state)
    assert run.code == 1 and run.changes == []
    assert "llm-worker-00001-abc 90 %, llm-worker-00002-abc 10 %" in run.err


@pytest.mark.parametrize(
    "words",
    [["staging"], [], ["dev", "fly"], ["dev", "deploy", "--force"], ["dev", "deploy", "--release"], ["dev", "rollback", "--to", "gateway-1"],
     ["dev", "logs"], ["dev", "logs", "--task", 'tsk_1" OR severity>=DEFAULT OR "'], ["dev", "logs", "--task", f"tsk_{1:032x}", "--since", "x"],
     ["dev", "rotate-secret"], ["dev", "rotate-secret", "other"], ["../dev"]],
)
def test_wrong_words_are_refused(cloud, words):
    run = cloud(in_service(), *words)
    assert run.code == 2 and run.changes == []
    assert "error: " in run.err and "--help" in run.err


def test_help(cloud):
    run = cloud(in_service(), "--help")
    assert run.code == 0 and run.calls == []
    for command in ("deploy", "build", "rollback", "status", "logs", "rotate-secret", "--dry-run"):
        assert command in run.out


# Failures


@pytest.mark.parametrize("infrastructure", ["terraform", "script"])
def test_a_build_that_fails_ends_it_before_anything_is_deployed(cloud, infrastructure):
    state = in_service() | {"images": {}, "failing": [{"words": ["builds", "submit"]}]}
    run = deploy(cloud, state)
    assert run.code == 1 and "the build failed" in run.err
    assert run.positions("jobs") == [] and run.positions("deploy") == []


def test_a_migration_that_fails_ends_it_before_anything_is_deployed(cloud):
    run = deploy(cloud, in_service() | {"failing": [{"words": ["jobs", "execute", "parlance-migrate"]}]})
    assert run.code == 1 and "migrate init" in run.err and "gcloud logging read" in run.err
    assert run.positions("run deploy") == [] and run.serving() == {name: f"{name}-00001-abc" for name in ORDER}


@pytest.mark.parametrize("name", ORDER)
def test_a_revision_that_does_not_start_gets_no_traffic(cloud, name):
    run = deploy(cloud, in_service() | {"unready": [name]})
    assert run.code == 1 and f"{name} does not come up" in run.err
    assert run.positions("update-traffic") == []
    assert run.serving() == {name: f"{name}-00001-abc" for name in ORDER}


def test_a_candidate_that_is_not_healthy_gets_no_traffic(cloud):
    run = deploy(cloud, in_service() | {"unhealthy": ["candidate---ingest-api-abcdefghij-ew.a.run.app/health/ready"]})
    assert run.code == 1 and "the new revision of ingest-api is not healthy" in run.err
    assert run.positions("update-traffic") == []


@pytest.mark.parametrize(
    "failure",
    [{"unhealthy": ["//ingest-api-abcdefghij-ew.a.run.app/health/ready"]}, {"without_key": "200"},
     {"failing": [{"words": ["update-traffic", "ingest-api", "--to-revisions=ingest-api-00002-abc=100"]}]}],
)
def test_unhealthy_with_traffic_takes_everything_back(cloud, failure):
    run = deploy(cloud, in_service() | failure)
    assert run.code == 3, run.err
    assert run.serving() == {name: f"{name}-00001-abc" for name in ORDER}
    back = [run.positions(f"update-traffic {name}", "00001-abc=100")[0] for name in reversed(ORDER)]
    assert back == sorted(back), "the order of the way back"
    # It was no deployment: what a rollback would go to is what it was before.
    assert run.state["jobs"]["parlance-migrate"]["labels"] == {}


def test_what_cannot_be_taken_back_is_said_with_another_code(cloud):
    words = ["update-traffic", "persist-worker", "--to-revisions=persist-worker-00001-abc=100"]
    run = deploy(cloud, in_service() | {"without_key": "200", "failing": [{"words": words}]})
    assert run.code == 4
    assert "could not be taken back: persist-worker" in run.err and "rollback" in run.err
    assert run.serving()["ingest-api"] == "ingest-api-00001-abc"


def test_after_an_interruption_among_the_shifts_a_failure_takes_back_the_earlier_ones_too(cloud):
    first = deploy(cloud, in_service() | {"failing": [{"words": ["update-traffic", "llm-worker"]}, {"words": ["update-traffic", "persist-worker-00001"]}]})
    # As if it had been killed: persist-worker is moved, and nothing was taken back.
    state = first.state | {"failing": []}
    state["services"]["persist-worker"]["traffic"] = [{"revisionName": "persist-worker-00002-abc", "percent": 100}]
    before = {f"before-{name}": f"{name}-00001-abc" for name in ORDER}
    state["jobs"]["parlance-migrate"]["labels"] = {"deploying": "v1_1_0", **before}
    second = deploy(cloud, state | {"without_key": "500"})
    assert second.code == 3, second.err
    assert second.serving() == {name: f"{name}-00001-abc" for name in ORDER}


def test_an_interruption_leaves_it_as_it_is_and_says_how_to_go_on(cloud, tmp_path):
    state = in_service()
    (tmp_path / "bin" / "curl").unlink()
    # The last look interrupts the script, as Ctrl-C does.
    (tmp_path / "bin" / "curl").write_text(
        '#!/bin/bash\ncase "$*" in *candidate*) exit 0 ;; esac\nkill -INT "$(cut -d" " -f4 /proc/$PPID/stat)"\nexit 0\n'
    )
    (tmp_path / "bin" / "curl").chmod(0o755)
    run = deploy(cloud, state)
    assert run.code == 130, (run.code, run.err)
    assert "interrupted while traffic was moved: repeat the command, or:" in run.err
    labels = run.state["jobs"]["parlance-migrate"]["labels"]
    assert labels["deploying"] == "v1_1_0" and labels["before-ingest-api"] == "ingest-api-00001-abc"


# Rollback


def test_rollback_goes_to_what_was_before_in_reverse(cloud):
    deployed = deploy(cloud, in_service())
    run = cloud(deployed.state, "dev", "rollback")
    assert run.code == 0, run.err
    assert run.serving() == {name: f"{name}-00001-abc" for name in ORDER}
    back = [run.positions(f"update-traffic {name}")[0] for name in reversed(ORDER)]
    assert back == sorted(back)
    again = cloud(run.state, "dev", "rollback")
    assert again.code == 1 and "it is not on record" in again.err and again.changes == []


def test_rollback_passes_over_a_release_that_was_never_in_service(cloud):
    deployed = deploy(cloud, in_service())
    state = deployed.state
    for number, image in enumerate([*ORDER, "parlance"]):
        state["images"][f"{REGISTRY}/{image}:v1.2.0"] = f"sha256:{200 + number:064x}"
    failed = cloud(state | {"without_key": "200"}, "dev", "deploy", "--release", "v1.2.0")
    assert failed.code == 3
    run = cloud(failed.state | {"without_key": "401"}, "dev", "rollback")
    assert run.code == 0, run.err
    assert run.serving() == {name: f"{name}-00001-abc" for name in ORDER}


def test_rollback_to_named_revisions(cloud):
    deployed = deploy(cloud, in_service())
    run = cloud(deployed.state, "dev", "rollback", "--to", "ingest-api-00001-abc")
    assert run.code == 0, run.err
    assert run.serving() == {"ingest-api": "ingest-api-00001-abc", "llm-worker": "llm-worker-00002-abc", "persist-worker": "persist-worker-00002-abc"}
    run = cloud(deployed.state, "dev", "rollback", "--to=ingest-api-00009-abc")
    assert run.code == 1 and "there is no revision ingest-api-00009-abc" in run.err and run.changes == []


def test_rollback_where_the_workflow_deploys_is_the_workflows(cloud):
    run = cloud(in_service(), "dev", "rollback", DEPLOY="event")
    assert run.code == 0 and len(run.changes) == 1
    assert run.changes[0][:4] == ["gcloud", "workflows", "run", "parlance-deploy"]


def test_check_looks_at_what_is_in_service(cloud):
    deployed = deploy(cloud, in_service())
    fine = cloud(deployed.state, "dev", "check", "--release", "v1.1.0")
    assert fine.code == 0 and [call[0] for call in fine.changes] == ["curl"] * 3
    for release, change in [("v1.2.0", {}), ("v1.1.0", {"unhealthy": ["/health/ready"]}), ("v1.1.0", {"without_key": "200"})]:
        run = cloud(deployed.state | change, "dev", "check", "--release", release)
        assert run.code == 1 and "not as it should be" in run.err


# Logs, status, secrets

TASK = f"tsk_{0x1a2b:032x}"


def test_logs_ask_for_the_fields_that_our_lines_have(cloud):
    run = cloud(in_service(), "dev", "logs", "--task", TASK, "--since=2d", "--limit", "50")
    assert run.code == 0 and run.changes == []
    [call] = run.calls
    assert call["args"][:2] == ["logging", "read"] and "--freshness=2d" in call["args"] and "--limit=50" in call["args"]
    assert f'jsonPayload.span.task_id="{TASK}"' in call["args"][2]


def test_the_programs_write_the_fields_that_logs_ask_for(cloud, tmp_path):
    """A real one, in production's format."""
    parlance = Path(os.environ.get("PARLANCE_BIN") or shutil.which("parlance") or "/nonexistent")
    if not parlance.exists():
        assert os.environ.get("CI") != "true", "PARLANCE_BIN is missing"
        pytest.skip("PARLANCE_BIN: cargo xtask infra sets it")
    settings = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data"), "DB_TYPE": "sqlite"}
    subprocess.run([parlance, "migrate", "init"], env=settings, check=True, capture_output=True)
    key = subprocess.run([parlance, "keys", "create", "--name", "t", "--user", "ann"], env=settings, check=True, capture_output=True, text=True)
    settings |= {"ENVIRONMENT": "production", "HOST": "127.0.0.1", "PORT": "0", "AUTH_API_KEYS": "on", "LLM_BASE_URL": "http://127.0.0.1:1/v1", "LLM_MODEL": "m"}
    settings |= {"TURN_MAX_ATTEMPTS": "1"}
    process = subprocess.Popen([parlance], env=settings, stdout=subprocess.PIPE, text=True)
    try:
        lines, task = [], None
        for line in process.stdout:
            lines.append(json.loads(line))
            if lines[-1]["message"] == "ready":
                import requests

                address = lines[-1]["httpAddress"]
                headers = {"X-API-Key": key.stdout.split()[0]}
                task = requests.post(f"http://{address}/v1/messages", json={"content": "hi"}, headers=headers, timeout=10).json()["task_id"]
            if task and lines[-1]["message"] == "turn ended":
                break
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    run = cloud(in_service(), "dev", "logs", "--task", task)
    asked = re.findall(r'jsonPayload\.([\w.]+)="', run.calls[0]["args"][2])
    found = [line for line in lines if any(task in json.dumps(at(line, path)) for path in asked)]
    messages = {line["message"] for line in found}
    assert {"call answered", "turn started", "turn ended"} <= messages
    assert all(task not in json.dumps(line) for line in lines if line not in found), "a line of the task that the filter misses"


def at(line, path):
    for part in path.split("."):
        line = [one.get(part) for one in line] if isinstance(line, list) else (line or {}).get(part)
    return line


def test_status_shows_services_backlog_and_dead_letters_and_changes_nothing(cloud):
    state = in_service()
    count = lambda name, value: {"resource": {"labels": {"subscription_id": name}}, "points": [{"value": {"int64Value": value}}]}
    state["series"] = {
        "pubsub.googleapis.com/subscription/num_undelivered_messages": {"timeSeries": [count("llm-worker", "17"), count("llm-worker-dead-letters", "3")]},
        "pubsub.googleapis.com/subscription/oldest_unacked_message_age": {"timeSeries": [count("llm-worker", "42")]},
        "run.googleapis.com/container/instance_count": {"timeSeries": [
            {"resource": {"labels": {"revision_name": "ingest-api-00001-abc"}}, "metric": {"labels": {"state": "active"}}, "points": [{"value": {"int64Value": "2"}}]}]},
    }
    run = cloud(state, "dev", "status")
    assert run.code == 0, run.err
    assert run.changes == []
    for text in ("ingest-api-00001-abc 100 %", f"@sha256:{1:064x}", "llm-worker  17 waiting, 42 s", "llm-worker-dead-letters  3",
                 "ingest-api-00001-abc  active  2", "webhooks  unknown waiting"):
        assert text in run.out


def test_rotating_a_key_makes_a_version_and_a_revision_with_it(cloud):
    run = cloud(in_service(), "dev", "rotate-secret", "llm-api-key", stdin=NEW_KEY + "\n")
    assert run.code == 0, run.err
    assert [(one["value"], one["enabled"]) for one in run.state["secrets"]["llm-api-key"]] == [(KEY, True), (NEW_KEY, True)]
    assert run.serving()["llm-worker"] == "llm-worker-00002-abc" and run.serving()["ingest-api"] == "ingest-api-00001-abc"
    assert run.state["services"]["llm-worker"]["revisions"][1]["secrets"] == "LLM_API_KEY=llm-api-key:2"
    assert "--version=2 --disable-old" in run.out
    off = cloud(run.state, "dev", "rotate-secret", "llm-api-key", "--version=2", "--disable-old")
    assert off.code == 0, off.err
    assert [one["enabled"] for one in off.state["secrets"]["llm-api-key"]] == [False, True]
    back = cloud(run.state, "dev", "rollback")
    assert back.code == 0 and back.serving()["llm-worker"] == "llm-worker-00001-abc"


def test_a_key_with_which_the_worker_does_not_start_is_not_taken_and_the_old_one_stays(cloud):
    run = cloud(in_service() | {"unready": ["llm-worker"]}, "dev", "rotate-secret", "llm-api-key", "--disable-old", stdin=NEW_KEY)
    assert run.code == 1
    assert run.state["secrets"]["llm-api-key"][0]["enabled"] and run.serving()["llm-worker"] == "llm-worker-00001-abc"


@pytest.mark.parametrize("value", ["", "\n", "two words", "two\nlines"])
def test_a_value_that_can_be_none_is_refused(cloud, value):
    run = cloud(in_service(), "dev", "rotate-secret", "llm-api-key", stdin=value)
    assert run.code == 2 and len(run.state["secrets"]["llm-api-key"]) == 1


def test_the_id_secret_is_never_rotated(cloud):
    run = cloud(in_service(), "dev", "rotate-secret", "id-secret", stdin="b" * 64)
    assert run.code == 1 and run.calls == []
    assert "ids are made and recognised with it" in run.err


def test_the_owners_password_is_changed_in_both_places(cloud):
    deployed = deploy(cloud, nothing(), INFRASTRUCTURE="script")
    run = cloud(deployed.state, "dev", "rotate-secret", "db-password", stdin=NEW_KEY, INFRASTRUCTURE="script")
    assert run.code == 0, run.err
    assert run.state["passwords"] == {"parlance": NEW_KEY} and run.state["secrets"]["db-password"][1]["value"] == NEW_KEY


# Dry runs: their output, executed, is the run


@pytest.mark.parametrize(
    ("state", "words", "settings"),
    [
        (nothing, ["deploy", "--release", "v1.1.0"], {"INFRASTRUCTURE": "script"}),
        (in_service, ["deploy", "--release", "v1.1.0"], {}),
        (lambda: in_service() | {"images": {}}, ["deploy", "--release", "v1.1.0"], {"BUILDER": "docker"}),
        (lambda: in_service() | {"images": {}}, ["deploy", "--release", "v1.1.0"], {"DEPLOY": "event"}),
        (pulled, ["deploy", "--release", "v1.1.0"], {"WORKERS": "pools"}),
        (in_service, ["rollback", "--to", "ingest-api-00001-abc"], {}),
        (in_service, ["rotate-secret", "llm-api-key"], {}),
    ],
    ids=["first", "next", "docker", "event", "pools", "rollback", "rotate"],
)
def test_the_output_of_a_dry_run_is_the_run(cloud, tmp_path, state, words, settings):
    dry = cloud(state(), "dev", *words, "--dry-run", **settings)
    assert dry.code == 0, dry.err
    assert dry.changes == [] and dry.state == state()
    (tmp_path / "plan.sh").write_text("set -euo pipefail\n" + dry.out)
    executed = cloud(state(), program=["bash", str(tmp_path / "plan.sh")], stdin=NEW_KEY)
    real = cloud(state(), "dev", *words, stdin=NEW_KEY, **settings)
    assert real.code == executed.code == 0, real.err + executed.err
    assert executed.changes == real.changes
    assert executed.state == real.state


# The real tools


@pytest.mark.parametrize("env", ["dev", "prod"])
def test_every_setting_is_documented_where_it_is_set(env):
    keys = set(re.findall(r'^    "([A-Z_]+)\|', (ROOT / "infra/lib/settings.sh").read_text(), re.M))
    folder = ROOT / "infra/envs" / env
    assert set(re.findall(r"^#?([A-Z_]+)=", (folder / "deploy.env").read_text(), re.M)) == keys
    known = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.M))
    assert set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (folder / "services.env").read_text(), re.M)) <= known


def copy_of_the_script(folder):
    shutil.copytree(ROOT / "infra/lib", folder / "infra/lib")
    shutil.copy(ROOT / SCRIPT, folder / "infra")
    (folder / "infra/envs/dev").mkdir(parents=True)
    for name in ("deploy.env", "services.env"):
        shutil.copy(ROOT / "infra/envs/dev" / name, folder / "infra/envs/dev")
    return str(folder / SCRIPT)


def test_the_release_is_the_tag_of_the_commit_or_the_commit(cloud, tmp_path):
    folder = tmp_path / "copy"
    script = copy_of_the_script(folder)

    def git(*words):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "tag.gpgsign=false", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message=one")
    refused = cloud(in_service(), program=[script, "dev"])
    assert refused.code == 2 and "is no release of dev" in refused.err and refused.calls == []
    built = cloud(in_service(), program=[script, "dev"], RELEASES="commits")
    assert built.code == 0, built.err
    assert f"_RELEASE=g{git('rev-parse', '--short=12', 'HEAD')}," in str(built.changes)
    git("tag", "v1.1.0")
    assert cloud(in_service(), program=[script, "dev"]).code == 0
    (folder / "infra/lib/look.sh").write_text("# changed\n" + (folder / "infra/lib/look.sh").read_text())
    refused = cloud(in_service(), program=[script, "dev"])
    assert refused.code == 2 and "not committed" in refused.err and refused.calls == []


def test_secrets_have_no_place_in_the_settings(cloud, tmp_path):
    script = copy_of_the_script(tmp_path / "copy")
    with (tmp_path / "copy/infra/envs/dev/services.env").open("a") as file:
        file.write("LLM_API_KEY=key\n")
    run = cloud(nothing(), program=[script, "dev", "deploy", "--release", "v1.1.0"], INFRASTRUCTURE="script")
    assert run.code == 2 and run.calls == [] and "LLM_API_KEY is a secret" in run.err


def test_shellcheck_has_nothing_to_say():
    shellcheck = shutil.which("shellcheck") or str(Path(os.sys.executable).parent / "shellcheck")
    run = subprocess.run([shellcheck, "-x", "-a", SCRIPT.split("/")[1]], cwd=ROOT / "infra", capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


@NEEDS_SDK
def test_the_real_gcloud_takes_every_call_of_all_these_tests():
    """Last: `seen` has what all tests before have called."""
    if not any(call["args"][:2] == ["run", "deploy"] for call in seen):
        pytest.skip("only with the others")
    calls = {json.dumps(call["args"]): call for call in seen if call["program"] == "gcloud"}
    calls = [json.loads(text) for text in calls]
    calls = [[word.replace("--flags-file=/dev/stdin", "--password=x") for word in call] for call in calls]
    calls += [shlex.split(command)[1:] for command in told]
    assert any(call[:2] == ["logging", "read"] for call in calls)
    shown = [call["shown"] | {"output": call["output"]} for call in seen if call["shown"] and call["shown"]["format"].startswith("value")]
    shown = list({json.dumps(one): one for one in shown}.values())
    answer = real_gcloud.ask(calls, shown)
    refused = [(call, error) for call, error in zip(calls, answer["errors"]) if error]
    assert refused == []
    assert len(calls) > 100
    # The stub shows a resource as gcloud does.
    assert [one["output"] for one in shown] == answer["shown"]


@NEEDS_SDK
def test_the_real_gcloud_refuses_what_is_wrong(tmp_path):
    flags = tmp_path / "flags.yaml"
    flags.write_text(f"--password: '{PASSWORD}'\n")
    answer = real_gcloud.ask([
        ["run", "deploy", "x", "--image=i", "--no-trafic", "--region=r", "--project=parlance-test"],
        ["run", "fly", "x"],
        ["run", "services", "describe", "--region=r"],
        ["run", "services", "describe", "x", "--region=r", "--project=parlance-test", "--format=value(status.url"],
        ["sql", "users", "create", "u", "--instance=i", f"--flags-file={flags}"],
    ])
    assert all(answer["errors"][:4]) and answer["errors"][4] is None
    assert "Must be specified" in answer["errors"][2]
