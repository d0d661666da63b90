"""The runbook can be followed: its links lead somewhere, and the programs take its commands."""

import os
import re
import shlex
import subprocess

import pytest

from real_gcloud import ask, find_sdk
from runbook import ROOT, RUNBOOK, anchors, commands, program

SCRIPT = ROOT / "infra" / "deploy-cloud-run.sh"
# What is written in capitals, or comes from the shell.
FOR_EXAMPLE = {
    "$PROJECT": "my-project",
    "$REGION": "europe-west1",
    "$ENV": "dev",
    "$SINCE": "2026-11-21T09:50:00Z",
    "$GOOD": "2026-11-21T10:00:00Z",
    '"$(date -u +%Y-%m-%dT%H:%M:%SZ)"': "2026-11-21T12:00:00Z",
    "ADDRESS": "10.0.0.3",
}


def words(line):
    for name, value in FOR_EXAMPLE.items():
        line = line.replace(name, value)
    return shlex.split(line, comments=True)


def of(program):
    """The words after it, of each command that begins with it or is piped into it."""
    found = []
    for line in commands():
        line = line.rsplit(" | ", 1)[-1] if "| infra" in line else line
        if line.startswith(f"{program} "):
            found.append(words(line)[len(program.split()) :])
    return found


# gcloud


def refused(calls):
    return {" ".join(call): error for call, error in zip(calls, ask(calls)["errors"]) if error is not None}


def needs_an_sdk():
    if not find_sdk():
        assert os.environ.get("CI") != "true", "there is no Cloud SDK"
        pytest.skip("there is no Cloud SDK on the PATH")


def test_gcloud_takes_every_command():
    needs_an_sdk()
    calls = of("gcloud")
    assert len(calls) > 25
    # Those of the function at the top.
    calls.append(words('run jobs execute parlance-operator --project=$PROJECT --region=$REGION --wait --args="dead-letters,list"'))
    assert not refused(calls)


def test_gcloud_refuses_what_does_not_exist():
    needs_an_sdk()
    calls = [words("run services tail ingest-api"), words("pubsub subscriptions seek llm-worker --when=now"), words("sql instances clone parlance")]
    assert len(refused(calls)) == 3


# parlance


def misunderstood(call, folder):
    """Its parser's complaint. What it is asked for can't be done here: there is nothing to do it on, which it says otherwise."""
    environment = {"DATA_DIR": str(folder / "nothing"), "USER": "olga"}
    done = subprocess.run([program("parlance"), *call], env=environment, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.stderr if done.stderr.startswith("error:") else None


def test_parlance_takes_every_command(tmp_path):
    calls = of("op") + of("parlance")
    assert len(calls) > 20
    assert {call[0] for call in calls} >= {"dead-letters", "replay", "keys", "audit", "migrate", "pubsub", "cost"}
    assert not {" ".join(call): said for call in calls if (said := misunderstood(call, tmp_path))}


def test_parlance_refuses_what_does_not_exist(tmp_path):
    for line in ("dead-letters resend", "replay --after 2h", "replay --since soon", "keys rotate --overlap 24h"):
        assert misunderstood(line.split(), tmp_path), line


def test_secrets_are_not_shown_by_a_job_whose_output_is_logged():
    shown = [call for call in of("op") if call[:2] in (["keys", "create"], ["keys", "rotate"], ["webhooks", "secret"])]
    assert not shown


# The script


def test_the_script_knows_every_command():
    usage = subprocess.run(["bash", SCRIPT, "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"^  ([a-z][a-z-]+)", usage, re.M))
    assert {"rollback", "status", "logs", "rotate-secret"} <= known
    calls = of("infra/deploy-cloud-run.sh")
    assert len(calls) > 6
    for call in calls:
        assert (ROOT / "infra" / "envs" / call[0]).is_dir() and call[1] in known, call
        assert all(word.split("=")[0] in usage for word in call if word.startswith("--")), call


# The text


def test_every_link_leads_somewhere():
    text, there = RUNBOOK.read_text(), anchors()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 10
    for link in links:
        file, _, section = link.partition("#")
        assert (RUNBOOK.parent / file).exists(), link
        assert file or section in there, link


def test_files_that_are_named_exist():
    for name in set(re.findall(r"`((?:infra|shared|docs)/[\w./-]+\.(?:rs|py|tf|sh|md))`", RUNBOOK.read_text())):
        assert (ROOT / name).exists(), name


def test_variables_that_are_named_exist():
    """In .env.example, or in the runbook's own commands."""
    known = (ROOT / ".env.example").read_text()
    for name in set(re.findall(r"`([A-Z][A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", RUNBOOK.read_text())):
        assert re.search(rf"\b{name}\b", known), name


def test_codes_of_failed_tasks_are_ours():
    row = re.compile(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", re.M)
    codes = {code for cells in row.findall(RUNBOOK.read_text()) for code in re.findall(r"`([a-z_]+)`", cells)}
    source = "".join(file.read_text() for folder in ("shared/src", "shared/llm/src", "llm-worker/src") for file in (ROOT / folder).rglob("*.rs"))
    assert len(codes) > 4
    assert not {code for code in codes if f'"{code}"' not in source}
