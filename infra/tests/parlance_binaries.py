"""Our own programs, as `cargo build` leaves them."""

from __future__ import annotations

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary(name: str) -> pathlib.Path:
    """Skips the test where it is not built."""
    # `cargo xtask infra` says where those of its own build are.
    if folder := os.environ.get("PARLANCE_BIN_DIR"):
        return pathlib.Path(folder) / name
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = [target / profile / name for profile in ("debug", "release") if (target / profile / name).exists()]
    if not found:
        pytest.skip(f"{name} is not built: cargo build -p {name}")
    return max(found, key=lambda file: file.stat().st_mtime)
