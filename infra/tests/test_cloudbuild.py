"""cloudbuild.yaml: valid for Cloud Build, and as we want builds to be. Each rule is shown a file that breaks it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import real_gcloud

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "cloudbuild.yaml").read_text()
IMAGES = ["ingest-api", "llm-worker", "persist-worker", "parlance"]
# What Cloud Build itself replaces.
BUILT_IN = {"PROJECT_ID", "TAG_NAME"}


def seconds(text):
    assert re.fullmatch(r"[1-9]\d*s", text), text
    return int(text[:-1])


def text_of(step):
    return "\n".join([step.get("script", ""), *step.get("args", [])])


def problems(build, text):
    """What is wrong, a sentence each."""
    found, ids = [], []
    steps, given = build["steps"], build.get("substitutions", {})
    for step in steps:
        name = step.get("id", step["name"])
        image, _, tag = step["name"].partition(":")
        if not tag or "latest" in tag or not re.search(r"\d", tag):
            found.append(f"{name}: its image has no version: {step['name']}")
        if "timeout" not in step or seconds(step["timeout"]) > seconds(build.get("timeout", "600s")):
            found.append(f"{name}: it has no time limit of its own below the build's")
        for earlier in step.get("waitFor", []):
            if earlier not in ids:
                found.append(f"{name}: it waits for {earlier}, which no step before it is")
        for script in re.findall(r"(?:^|[\s\"'=])(infra/[\w./-]+\.\w+|\.ci/\w+)", text_of(step), re.M):
            if not (ROOT / script).is_file() or not os.access(ROOT / script, os.X_OK):
                found.append(f"{name}: {script} is no program")
        if ":latest" in text_of(step):
            found.append(f"{name}: it uses a tag latest")
        if "script" in step and "set -e" not in step["script"]:
            found.append(f"{name}: it goes on after a failure")
        # In a script $_NAME would be the shell's, which has none.
        if re.search(r"\$\{?_[A-Z]", step.get("script", "")):
            found.append(f"{name}: substitutions don't reach a script but by env")
        ids.append(step.get("id"))
    if len(ids) != len(set(ids)) or None in ids:
        found.append("steps have no id, or the same")
    rest = re.sub(r"(?ms)^substitutions:.*?^(?=\S)", "", text)
    rest = re.sub(r"(?m)^\s*#.*$", "", rest)
    used = set(re.findall(r"\$\{?(_[A-Z_]+)", rest))
    found += [f"{name} is not used" for name in sorted(set(given) - used)]
    found += [f"{name} is not defined" for name in sorted(used - set(given))]
    if not re.fullmatch(r"projects/\$PROJECT_ID/serviceAccounts/parlance-build@\$PROJECT_ID\.iam\.gserviceaccount\.com", build.get("serviceAccount", "")):
        found.append("it does not run as parlance-build")
    if build.get("options", {}).get("logging") != "CLOUD_LOGGING_ONLY":
        found.append("an account of one's own needs CLOUD_LOGGING_ONLY or a bucket")
    if "images" in build:
        found.append("images: would push tags after all steps, also of a release that was not deployed")
    return found


def test_it_is_what_the_schema_says():
    """check-jsonschema has SchemaStore's schema in it: nothing is fetched."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.cloudbuild"]
    run = subprocess.run([*command, "cloudbuild.yaml"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_the_schema_refuses_what_is_wrong(tmp_path):
    for wrong in (TEXT.replace("waitFor:", "waitfor:"), TEXT.replace("CLOUD_LOGGING_ONLY", "SOMEWHERE"), TEXT.replace("steps:", "stages:")):
        (tmp_path / "cloudbuild.yaml").write_text(wrong)
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.cloudbuild", "cloudbuild.yaml"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 1, wrong[:200]


def test_it_is_as_we_want_builds_to_be():
    assert problems(yaml.safe_load(TEXT), TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("docker:28.3.3-cli", "docker:latest", "has no version"),
        ("docker:28.3.3-cli", "docker", "has no version"),
        ("    timeout: 600s\n", "", "no time limit"),
        ("waitFor: [terraform]", "waitFor: [terrafrom]", "it waits for terrafrom"),
        ("waitFor: [settings]", "waitFor: [release]", "it waits for release"),
        ("infra/build-image.sh", "infra/build-images.sh", "is no program"),
        ("infra/build-image.sh", "infra/cloudbuild.md", "is no program"),
        ("      set -euo pipefail\n", "", "it goes on after a failure"),
        ("TESTS=$_TESTS", "TESTS=all", "_TESTS is not used"),
        ("  _TESTS: all\n", "", "_TESTS is not defined"),
        ('"$RELEASE" --no-build', '"$_RELEASE" --no-build', "don't reach a script"),
        ("serviceAccount: projects", "#serviceAccount: projects", "does not run as parlance-build"),
        ("CLOUD_LOGGING_ONLY", "LEGACY", "CLOUD_LOGGING_ONLY"),
        ("id: smoke-test", "id: deploy", "or the same"),
        ("steps:\n", "images: [a]\nsteps:\n", "images: would push"),
    ],
)
def test_each_rule_refuses_a_file_that_breaks_it(old, new, problem):
    assert old in TEXT
    wrong = TEXT.replace(old, new)
    assert any(problem in one for one in problems(yaml.safe_load(wrong), wrong))


def test_substitutions_are_documented():
    build = yaml.safe_load(TEXT)
    told = (ROOT / "docs" / "deploy.md").read_text()
    for name in build["substitutions"]:
        assert f"`{name}`" in told, name
        assert re.search(rf"(?m)^  #.*\n  {name}: ", TEXT), f"{name} has no comment"


def test_nothing_is_released_before_tests_passed_and_parlance_is_the_last():
    steps = {step["id"]: step for step in yaml.safe_load(TEXT)["steps"]}
    assert {"tests", "build-llm-worker", "build-persist-worker", "build-parlance"} == set(steps["release"]["waitFor"])
    order = re.search(r"for image in ([\w -]+); do", steps["release"]["script"]).group(1).split()
    assert sorted(order) == sorted(IMAGES) and order[-1] == "parlance"
    # Builds push without a tag.
    assert "push-by-digest=true" in (ROOT / "infra/build-image.sh").read_text()
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert all(re.search(rf"(?m)^FROM \S+ AS {image}$", dockerfile) for image in IMAGES)


def run_step(step, tmp_path, programs, **variables):
    """A step's script, with programs that only write down how they were called, in a copy of what it reads."""
    folder = tmp_path / "workspace"
    folder.mkdir(exist_ok=True)
    for name in ("infra", "Dockerfile"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    (tmp_path / "bin").mkdir(exist_ok=True)
    for name, body in programs.items():
        (tmp_path / "bin" / name).write_text(f'#!/bin/bash\nprintf "%q " {name} "$@" >>{tmp_path}/calls; echo >>{tmp_path}/calls\n{body}\n')
        (tmp_path / "bin" / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PROJECT": "parlance-test", "REPOSITORY": "h/parlance-test/parlance", **variables}
    run = subprocess.run(["bash", "-c", step["script"]], cwd=folder, env=environment, capture_output=True, text=True)
    calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    return run, [shlex.split(call) for call in calls]


def step_of(name):
    return next(step for step in yaml.safe_load(TEXT)["steps"] if step["id"] == name)


@pytest.mark.parametrize(
    ("change", "fine"),
    [({}, True), ({"RELEASE": ""}, False), ({"RELEASE": "latest"}, False), ({"DEPLOY": "maybe"}, False), ({"TESTS": ""}, False), ({"ENVIRONMENT": "x"}, False)],
)
def test_settings_are_looked_at_first(tmp_path, change, fine):
    variables = {"RELEASE": "v1.2.3", "DEPLOY": "event", "TESTS": "all", "ENVIRONMENT": "prod", "REGION": "europe-west1"} | change
    run, _ = run_step(step_of("settings"), tmp_path, {}, **variables)
    assert (run.returncode == 0) == fine, run.stderr


def test_the_tag_is_put_on_the_digests_that_were_pushed(tmp_path):
    (tmp_path / "workspace" / ".build").mkdir(parents=True)
    for number, image in enumerate(IMAGES):
        (tmp_path / "workspace" / ".build" / f"{image}.digest").write_text(f"sha256:{number:064x}\n")
    run, calls = run_step(step_of("release"), tmp_path, {"gcloud": ""}, RELEASE="v1.2.3")
    assert run.returncode == 0, run.stderr
    assert [call[5] for call in calls] == [f"h/parlance-test/parlance/{image}@sha256:{number:064x}" for number, image in enumerate(IMAGES)]
    assert [call[6] for call in calls] == [f"h/parlance-test/parlance/{image}:v1.2.3" for image in IMAGES]
    if real_gcloud.find_sdk() or os.environ.get("CI") == "true":
        assert real_gcloud.ask([call[1:] for call in calls])["errors"] == [None] * 4


def test_a_build_by_hand_as_the_file_says_is_one_that_gcloud_takes():
    command = re.search(r"By hand: (gcloud .*)", TEXT).group(1)
    if real_gcloud.find_sdk() or os.environ.get("CI") == "true":
        assert real_gcloud.ask([shlex.split(command)[1:]])["errors"] == [None]


@pytest.mark.parametrize("step", ["deploy", "smoke-test"])
def test_the_workflow_is_left_to_deploy_or_the_script_does(tmp_path, step):
    run, calls = run_step(step_of(step), tmp_path, {"gcloud": "exit 1"}, DEPLOY="event", ENVIRONMENT="dev", RELEASE="v1.2.3")
    assert run.returncode == 0 and calls == []
    run, calls = run_step(step_of(step), tmp_path, {"gcloud": "exit 1", "curl": ""}, DEPLOY="script", ENVIRONMENT="dev", RELEASE="v1.2.3")
    assert run.returncode == 1 and calls[0][:3] == ["gcloud", "auth", "list"]


METADATA = '{\n  "buildx.build.ref": "release/release0/x",\n  "containerimage.digest": "%s",\n  "image.name": "h/p/parlance"\n}\n'


@pytest.mark.parametrize(("digest", "code"), [("sha256:" + "a1" * 32, 0), ("", 1)])
def test_an_image_is_built_with_sbom_and_provenance_and_pushed_by_digest(tmp_path, digest, code):
    (tmp_path / "metadata").write_text(METADATA % digest)
    (tmp_path / "infra").mkdir()
    shutil.copy(ROOT / "infra/build-image.sh", tmp_path / "infra")
    docker = f'for word in "$@"; do case $word in --metadata-file=*) cp {tmp_path}/metadata "${{word#*=}}" ;; esac; done'
    step = {"script": f"sh {tmp_path}/infra/build-image.sh parlance"}
    run, calls = run_step(step, tmp_path, {"docker": docker}, CACHE="h/p/parlance-cache/layers:main")
    assert run.returncode == code, run.stderr
    [call] = calls
    assert {"--target=parlance", "--provenance=mode=max", "--sbom=true", "--cache-from=type=registry,ref=h/p/parlance-cache/layers:main"} <= set(call)
    assert any("push-by-digest=true" in word for word in call) and not any(word.startswith(("--tag", "--cache-to")) for word in call)
    if code == 0:
        assert (tmp_path / ".build/parlance.digest").read_text().strip() == digest


def test_shellcheck_has_nothing_to_say():
    shellcheck = shutil.which("shellcheck") or str(Path(sys.executable).parent / "shellcheck")
    run = subprocess.run([shellcheck, "infra/build-image.sh"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    for step in yaml.safe_load(TEXT)["steps"]:
        if "script" in step:
            run = subprocess.run([shellcheck, "-"], input=step["script"], capture_output=True, text=True)
            assert run.returncode == 0, (step["id"], run.stdout)


def test_what_the_build_may_do_is_written_down_and_terraform_grants_that():
    told = (ROOT / "infra/cloudbuild.md").read_text()
    listed = set(re.findall(r"^\| `(roles/[\w.]+)`", told, re.M))
    granted = set(re.findall(r'"(roles/[\w.]+)"', (ROOT / "infra/modules/build/main.tf").read_text()))
    # The module of the registry grants the other writer.
    assert granted == listed
