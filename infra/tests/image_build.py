"""The images, built without Docker once per run of the tests, for whoever needs them.

PARLANCE_IMAGE_PROFILE=dev (the default here) or release, as the Dockerfile's PROFILE. With dev, dependencies that the tests of
the programs have compiled already are taken over, so that the build is a matter of a minute or two. What was built is kept in
the target folder, beside everything else that cargo makes.
"""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dockerfile_engine import Engine

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("ingest-api", "llm-worker", "persist-worker")
IMAGES = (*SERVICES, "parlance")
EPOCH = 1_700_000_000
PROFILE = os.environ.get("PARLANCE_IMAGE_PROFILE", "dev")


@cache
def workspace():
    """Where cargo builds, and the crates of this workspace."""
    metadata = json.loads(_output("cargo", "metadata", "--no-deps", "--format-version", "1"))
    crates = {target["name"].replace("-", "_") for package in metadata["packages"] for target in package["targets"]}
    names = {package["name"] for package in metadata["packages"]}
    return Path(metadata["target_directory"]), crates, names


def _output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


@dataclass
class Built:
    stages: dict
    ran: list


@contextmanager
def build():
    """Builds all four images; their folders are gone afterwards."""
    target, _, _ = workspace()
    kept = target / "containers"
    for folder in ("target", "tools/bin"):
        (kept / folder).mkdir(parents=True, exist_ok=True)
    # Programs must be startable by another user from there.
    scratch = Path(tempfile.mkdtemp(prefix="parlance-images-"))
    scratch.chmod(0o755)
    with (kept / "in-use").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if PROFILE == "dev":
                take_over_dependencies(target / "debug", kept / "target/debug")
            engine = _engine(kept, scratch)
            yield Built(engine.build(), engine.ran)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _engine(kept, scratch):
    cargo_home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    rustup_home = Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))
    homes = {"CARGO_HOME": str(cargo_home), "RUSTUP_HOME": str(rustup_home)}
    tools = {"CARGO_INSTALL_ROOT": str(kept / "tools"), "PATH": f"{kept}/tools/bin:{os.environ['PATH']}"}
    if toolchain := os.environ.get("RUSTUP_TOOLCHAIN"):
        homes["RUSTUP_TOOLCHAIN"] = toolchain
    # Half the space; what a second build would save by it is little.
    frugal = {"CARGO_INCREMENTAL": "0"}
    # A tool that is used once need not be fast.
    quickly = {"CARGO_PROFILE_RELEASE_OPT_LEVEL": "0", "CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"}
    arguments = {"PROFILE": PROFILE, "SOURCE_DATE_EPOCH": str(EPOCH)}
    # With other flags nothing could be taken over. A release has the Dockerfile's, for this machine's folder.
    released = f"--remap-path-prefix=/src=. --remap-path-prefix={cargo_home}/registry/src=registry"
    arguments["RUSTFLAGS"] = "" if PROFILE == "dev" else released
    return Engine(
        ROOT / "Dockerfile", ROOT, scratch,
        arguments=arguments,
        persistent={str(cargo_home): cargo_home, str(kept / "tools"): kept / "tools", "/src/target": kept / "target"},
        hidden={str(rustup_home): rustup_home} if rustup_home.is_dir() else {},
        settings={"chef": homes | tools | quickly, "planner": homes | tools, "builder": homes | tools | frugal},
    )


def take_over_dependencies(source, to):
    """Shares what was compiled of other people's crates: links to what cargo never changes in place, copies of the rest. The
    workspace's own crates are left to be compiled from the context."""
    if to.exists() or not (source / ".fingerprint").is_dir():
        return
    _, crates, names = workspace()
    for folder in (".fingerprint", "build"):
        (to / folder).mkdir(parents=True)
        for entry in (source / folder).iterdir():
            if entry.is_dir() and entry.name.rpartition("-")[0] not in names:
                shutil.copytree(entry, to / folder / entry.name, symlinks=True)
    (to / "deps").mkdir()
    for entry in (source / "deps").iterdir():
        crate = entry.name.rpartition("-")[0].removeprefix("lib")
        if crate in crates or entry.suffix not in (".rlib", ".rmeta", ".so", ".d"):
            continue
        if entry.suffix == ".d":
            shutil.copy2(entry, to / "deps" / entry.name)
        else:
            os.link(entry, to / "deps" / entry.name)
