"""Schemathesis against the running server: whatever the description says is tried, and all answers are held against it."""

import os
import pathlib
import subprocess
import sys

CONFIG = pathlib.Path(__file__).with_name("schemathesis.toml")
URL = os.environ["PARLANCE_URL"] + "/openapi.json"

command = [sys.executable, "-B", "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", URL, "--no-color", "--checks", "all"]
sys.exit(subprocess.run([*command, *sys.argv[1:]]).returncode)
