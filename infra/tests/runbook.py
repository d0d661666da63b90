"""docs/operations.md: its sections, links and commands."""

import os
import pathlib
import re

import pytest

from parlance_binaries import binary

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNBOOK = ROOT / "docs" / "operations.md"


def anchor(heading):
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def sections(text=None):
    """Bodies by anchor; what is under a smaller heading is a section of its own."""
    pieces = re.split(r"^#+ (.+)$", without_code(text or RUNBOOK.read_text()), flags=re.M)
    return {anchor(heading): body for heading, body in zip(pieces[1::2], pieces[2::2])}


def without_code(text):
    """Comments in code look like headings."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


def anchors(text=None):
    return set(sections(text))


def commands(text=None):
    """Each command of the code blocks, one line each, without its comment."""
    found = []
    for block in re.findall(r"^ *```sh\n(.*?)^ *```$", text or RUNBOOK.read_text(), re.M | re.S):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            found.append(re.sub(r"\s{2,}#.*$", "", line).strip())
    return [line for line in found if line and not line.startswith("#")]


def program(name):
    """One of ours; where it is not built the test fails in CI, and is skipped elsewhere."""
    try:
        return binary(name)
    except pytest.skip.Exception as missing:
        assert os.environ.get("CI") != "true", str(missing)
        raise
