"""checkov's checks of Google Cloud hold for our Terraform, but for those that are skipped beside the resource, with a reason.

Offline, with the checks of the pinned version. What it must fail on (infra/policy/broken) shows that it looks.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from terraform_run import INFRA


@pytest.fixture(scope="module")
def found() -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "checkov.main", "-d", str(INFRA), "--framework", "terraform", "--skip-download", "-o", "json"],
        capture_output=True,
        text=True,
        env=os.environ | {"LOG_LEVEL": "ERROR"},
        check=False,
    )
    assert done.stdout.startswith(("{", "[")), done.stdout + done.stderr
    return json.loads(done.stdout)["results"]


def is_example(one: dict) -> bool:
    return "/policy/broken/" in one["file_path"]


def test_nothing_fails(found):
    wrong = [f"{one['check_id']} {one['resource']}: {one['check_name']}" for one in found["failed_checks"] if not is_example(one)]
    assert wrong == []


def test_it_looked(found):
    passed = {one["resource"].split(".")[-2] for one in found["passed_checks"] if not is_example(one)}
    assert {"google_sql_database_instance", "google_compute_subnetwork", "google_storage_bucket"} <= passed, sorted(passed)
    refused = {one["check_id"] for one in found["failed_checks"] if is_example(one)}
    # A database with a public address that is open to the world, and ssh from everywhere.
    assert {"CKV_GCP_60", "CKV_GCP_11", "CKV_GCP_2"} <= refused, sorted(refused)


def test_each_skip_has_a_reason():
    skips = [
        (file.name, line)
        for file in INFRA.glob("modules/**/*.tf")
        for line in re.findall(r"checkov:skip=.*", file.read_text())
    ]
    assert skips and all(re.fullmatch(r"checkov:skip=CKV\w+:.{20,}", line) for _, line in skips), skips
