"""A real Parlance in one process, answering with the mock model."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pytest

START_SECONDS = 60


def program(variable: str, package: str) -> str:
    path = os.environ.get(variable, "")
    if not pathlib.Path(path).is_file():
        pytest.fail(f"{variable} names no program: cargo xtask infra sets it, or cargo build -p {package} --bins")
    return path


def said_address(process: subprocess.Popen) -> tuple[str, int]:
    """The address of the first line that has one."""
    for line in process.stdout:
        found = re.search(r"http://([0-9.]+):(\d+)", line)
        if found:
            return found[1], int(found[2])
    raise AssertionError(f"{process.args[0]} ended without an address")


@contextlib.contextmanager
def started(arguments: list[str], environment: dict[str, str], **options):
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class Parlance:
    """A running one."""

    def __init__(self, address: tuple[str, int], folder: pathlib.Path):
        self.address = address
        self.url = "http://%s:%d" % address
        self.folder = folder

    def key(self, *options: str) -> str:
        command = [program("PARLANCE_BIN", "parlance"), "keys", "create", "--name", "test", "--json", *options]
        made = subprocess.run(command, env={"DATA_DIR": str(self.folder / "data")}, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        return json.loads(made.stdout)["key"]

    def is_ready(self) -> bool:
        try:
            return urllib.request.urlopen(self.url + "/health/ready", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False


@contextlib.contextmanager
def parlance(**settings: str):
    """With these settings, on a fresh data folder."""
    server, mock = program("PARLANCE_BIN", "parlance"), program("PARLANCE_MOCK_LLM_BIN", "parlance-mock-llm")
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(open(folder / "log", "wb"))
        llm = stack.enter_context(started([mock], {}))
        environment = {
            "PORT": "0",
            "DATA_DIR": str(folder / "data"),
            "LLM_BASE_URL": "http://%s:%d/v1" % said_address(llm),
            "LLM_MODEL": "mock",
            "HEADINGS": "off",
            **settings,
        }
        process = stack.enter_context(started([server], environment, stderr=log))
        running = Parlance(said_address(process), folder)
        until("the server is ready", running.is_ready)
        yield running


def until(what: str, holds, seconds: float = START_SECONDS):
    end = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.02)
    return result
