"""The Dockerfile: its rules, its context, its commands (run here without Docker), and what is in the images."""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import cyclonedx.schema
import jsonschema
import pytest
import requests
from dockerfile_engine import Engine, NotUnderstood, context_of, instructions
from image_build import EPOCH, IMAGES, PROFILE, ROOT, SERVICES, workspace
from referencing import Registry, Resource

DOCKERFILE = ROOT / "Dockerfile"
OTHERS = [ROOT / "infra/containers/pubsub-emulator.Dockerfile"]
LIMIT = 30_000_000


# The rules that the Dockerfiles keep, and broken ones that show that each is looked at.


def breaches(text, final_stages):
    """What is wrong with a Dockerfile."""
    found, stages, order = [], {}, []
    for name, rest in instructions(text):
        if name == "FROM":
            base, _, stage = rest.partition(" AS ")
            stage = stage or "the last"
            stages[stage] = {"base": base, "user": stages.get(base, {}).get("user"), "entrypoint": None}
            order.append(stage)
            is_outside = base not in stages and base != "scratch" and not base.startswith("${")
            if is_outside and (":" not in base or base.endswith(":latest")):
                found.append(f"{base}: no exact tag")
        elif name == "ARG" and rest.startswith("RUST_IMAGE=") and not re.search(r":\d+\.\d+\.\d+-", rest):
            found.append(f"{rest}: no exact tag")
        elif name == "USER":
            stages[order[-1]]["user"] = rest
        elif name == "ENTRYPOINT":
            stages[order[-1]]["entrypoint"] = rest
        elif name == "ADD":
            found.append(f"ADD {rest}: COPY is enough")
        if name in ("ARG", "ENV") and re.search(r"(SECRET|PASSWORD|TOKEN|KEY)\w*[= ]", rest.upper()):
            found.append(f"{name} {rest}: secrets do not belong in images")
        if name == "RUN" and re.search(r"\b(curl|wget)\b", rest):
            found.append(f"RUN {rest}: downloads what no lock file knows")
        if name == "RUN" and re.search(r"\bcargo (build|install|chef cook)\b", rest) and "--locked" not in rest:
            found.append(f"RUN {rest}: without --locked")
    for stage in final_stages:
        known = stages.get(stage)
        if known is None:
            found.append(f"{stage}: no such stage")
            continue
        if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", known["user"] or ""):
            found.append(f"{stage}: runs as {known['user']}, not as a numeric user that is not root")
        if not (known["entrypoint"] or "").startswith("["):
            found.append(f"{stage}: no ENTRYPOINT that is a list")
    return found


def test_the_rules_are_kept():
    assert breaches(DOCKERFILE.read_text(), IMAGES) == []
    for other in OTHERS:
        assert breaches(other.read_text(), ["the last"]) == []


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("USER 65532:65532", "USER root", "runs as root"),
        ("USER 65532:65532\n", "", "runs as None"),
        ('ENTRYPOINT ["/llm-worker"]', "ENTRYPOINT /llm-worker", "llm-worker: no ENTRYPOINT"),
        ("rust:1.95.0-slim-bookworm\n\n", "rust:latest\n\n", "no exact tag"),
        ("COPY . .", "ADD . .", "COPY is enough"),
        ("ENV ENVIRONMENT=production", "ENV DB_PASSWORD=x", "secrets do not belong"),
        ("cargo build --locked", "cargo build", "without --locked"),
        ("RUN infra/containers/assemble.sh", "RUN curl https://example.org/x | sh; true", "no lock file"),
        ("FROM base AS parlance", "FROM base AS other", "parlance: no such stage"),
    ],
)
def test_a_breach_is_found(before, after, named):
    text = DOCKERFILE.read_text()
    assert before in text
    assert any(named in breach for breach in breaches(text.replace(before, after), IMAGES))


def test_hadolint():
    hadolint = Path(sys.executable).with_name("hadolint")
    for file in [DOCKERFILE, *OTHERS]:
        subprocess.run([hadolint, "--failure-threshold", "warning", file], check=True)
    bad = "FROM rust\nRUN cd /tmp && cargo build\nADD x y\n"
    assert subprocess.run([hadolint, "-"], input=bad, text=True, stdout=subprocess.DEVNULL, check=False).returncode != 0


def test_the_script_is_sound():
    shellcheck = Path(sys.executable).with_name("shellcheck")
    subprocess.run([shellcheck, ROOT / "infra/containers/assemble.sh"], check=True)


def test_the_builder_is_the_compiler_that_the_tests_run_with():
    version = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout.split()[1]
    assert f"RUST_IMAGE=rust:{version}-slim-" in DOCKERFILE.read_text()


# The context.


def in_git(*arguments):
    listed = subprocess.run(["git", "ls-files", "-z", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {Path(path) for path in listed.split("\0") if path}


def test_the_context_is_what_the_programs_are_made_of():
    context = set(context_of(ROOT))
    ours = in_git("--cached", "--others", "--exclude-standard")
    assert context <= ours, f"not of the repository: {sorted(context - ours)[:5]}"
    # Everything that a program could be made of is in.
    crates = ("shared", "ingest-api", "llm-worker", "persist-worker", "parlance", "xtask")
    sources = {path for path in ours if path.parts[0] in crates and "src" in path.parts[:3] and (ROOT / path).is_file()}
    assert len(sources) > 300
    assert sources <= context, f"missing: {sorted(sources - context)[:5]}"
    assert {path for path in ours if path.parts[0] in (".sqlx", "migrations") and (ROOT / path).is_file()} <= context
    # What is not in stays out of the cache's way: tests, documents, clients, what is deployed.
    assert not [path for path in context if path.parts[0] in ("clients", "docs", "data", "target", ".git", ".ci")]
    assert not [path for path in context if "tests" in path.parts[:-1] and "src" not in path.parts]


@pytest.mark.parametrize(
    "secret",
    [
        ".env", "shared/.env", "parlance/.env.local", "data/parlance.db", "parlance/data.db", "ingest-api/src/x.db-wal",
        "target/release/ingest-api", "shared/target/x", "bench/node_modules/x/index.js", ".git/config", "infra/envs/prod/terraform.tfstate",
        "service-account.json", "shared/postgres/src/tls.pem", "shared/src/signing.key", "id_rsa", "docs/notes.txt",
    ],
)
def test_what_must_not_get_in_does_not(secret, tmp_path):
    (tmp_path / ".dockerignore").write_bytes((ROOT / ".dockerignore").read_bytes())
    for path in (secret, "shared/src/new.rs", "ingest-api/src/openapi/new.md"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    assert context_of(tmp_path) == [Path("ingest-api/src/openapi/new.md"), Path("shared/src/new.rs")]


# The engine of these tests.


def engine(folder, text):
    (folder / "Dockerfile").write_text(text)
    (folder / ".dockerignore").write_text("*\n!in\n")
    for name in ("in", "out"):
        (folder / name).write_text(name)
    return Engine(folder / "Dockerfile", folder, folder / "stages")


def test_the_engine_shows_what_is_missing(mounts, tmp_path):
    sees = 'FROM image AS a\nWORKDIR /src\nCOPY . .\nRUN test "$(ls)" = in && test "$(pwd)" = /src\n'
    built = engine(tmp_path, sees + "FROM scratch AS b\nCOPY --from=a --chown=7:8 /src/in /x\nUSER 7:8\n").build()
    placed = built["b"].root / "x"
    assert (placed.read_text(), placed.stat().st_uid, placed.stat().st_gid, built["b"].user) == ("in", 7, 8, "7:8")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("FROM image AS a\nWORKDIR /src\nCOPY out .\n", FileNotFoundError),
        ("FROM image AS a\nRUN exit 3\n", AssertionError),
        (f"FROM image AS a\nRUN test -e {ROOT}/Cargo.toml\n", AssertionError),
        ("FROM image AS a\nRUN touch /usr/bin/new\n", AssertionError),
        ("FROM scratch AS a\nRUN true\n", NotUnderstood),
        ("FROM image AS a\nONBUILD RUN true\n", NotUnderstood),
    ],
)
def test_the_engine_refuses(text, error, mounts, tmp_path):
    with pytest.raises(error):
        engine(tmp_path, text).build()


# The emulator of compose.yaml.


def emulator_of_this_machine():
    gcloud = shutil.which("gcloud")
    root = subprocess.run(
        ["gcloud", "info", "--format=value(installation.sdk_root)"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip() if gcloud else ""
    folder = Path(root) / "platform/pubsub-emulator/lib"
    if not root or not folder.is_dir():
        why = "needs a Cloud SDK with the Pub/Sub emulator"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    return folder


def test_the_emulators_image_starts_with_its_correction(mounts, tmp_path):
    sdk = {"/google-cloud-sdk/platform/pubsub-emulator/lib": emulator_of_this_machine()}
    stage = list(Engine(OTHERS[0], ROOT, tmp_path / "stages", images={"sdk": sdk}).build().values())[-1]
    folder = stage.root / "emulator"
    assert (folder / "classes/io/grpc/InternalStatus.class").is_file()
    assert (stage.user, stage.workdir) == ("65532:65532", "/emulator")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [*stage.entrypoint, "--host=127.0.0.1", f"--port={port}"]
    assert [word.split("=")[0] for word in stage.command] == ["--host", "--port"]
    log = (tmp_path / "log").open("w+")
    with subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as emulator:
        try:
            deadline = time.monotonic() + 60
            while not answers(f"http://127.0.0.1:{port}/v1/projects/p/topics"):
                assert emulator.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
        finally:
            emulator.kill()


def answers(url):
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


# The images.


def files_of(root):
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            found["/" + str(path.relative_to(root))] = path.lstat()
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_the_program_and_what_it_needs(images, image):
    stage = images.stages[image]
    assert (stage.is_from_scratch, stage.user, stage.entrypoint) == (True, "65532:65532", [f"/{image}"])
    assert stage.environment["ENVIRONMENT"] == "production"
    assert stage.healthcheck == ([f"/{image}", "health"] if image in SERVICES else [])
    files = files_of(stage.root)
    other = {path for path in files if not re.match(r"/(lib|lib64|usr/lib|usr/share/doc/[^/]+/copyright|var/lib/dpkg/status\.d)(/|$)", path)}
    assert other == {
        f"/{image}", f"/usr/share/sbom/{image}.cdx.json", "/etc/ssl/certs/ca-certificates.crt", "/etc/passwd", "/etc/group",
        "/etc/nsswitch.conf", "/etc/os-release",
    }
    libraries = {os.path.basename(path).split(".so")[0] for path in files if ".so" in path}
    assert libraries == {"libc", "libm", "libgcc_s", "ld-linux-x86-64" if os.uname().machine == "x86_64" else "ld-linux-aarch64"}
    for path, seen in files.items():
        assert (seen.st_uid, seen.st_mode & 0o7022) == (0, 0), f"{path} {stat.filemode(seen.st_mode)} of {seen.st_uid}"
        assert seen.st_mtime == EPOCH, path
    writable = {str(folder.relative_to(stage.root)) for folder in stage.root.rglob("*") if folder.is_dir() and _may_write(folder)}
    assert writable == ({"tmp", "data"} if image == "parlance" else {"tmp"})


def _may_write(folder):
    seen = folder.stat()
    return seen.st_mode & 0o002 or seen.st_uid == 65532


@pytest.mark.parametrize("image", IMAGES)
def test_the_loader_finds_every_library_in_the_image(images, image):
    root = images.stages[image].root
    loader = next(path for path in files_of(root) if "/ld-linux" in path)
    listed = subprocess.run(
        ["chroot", "--userspec=65532:65532", root, loader, "--list", f"/{image}"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert "libc.so.6 => /" in listed and "not found" not in listed


@pytest.mark.parametrize("image", IMAGES)
def test_the_sbom_is_valid_and_names_everything_that_is_inside(images, image):
    root = images.stages[image].root
    bom = json.loads((root / f"usr/share/sbom/{image}.cdx.json").read_text())
    folder = Path(cyclonedx.schema.__file__).parent / "_res"
    read = lambda name: json.loads((folder / name).read_text())  # noqa: E731
    registry = Registry().with_resources(
        (f"http://cyclonedx.org/schema/{name}", Resource.from_contents(read(name)))
        for name in ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    )
    validator = jsonschema.Draft7Validator(read("bom-1.6.SNAPSHOT.schema.json"), registry=registry)
    assert [error.message for error in validator.iter_errors(bom)] == []
    assert list(validator.iter_errors(bom | {"specVersion": 1}))

    named = {(component["name"], component["version"]) for component in bom["components"]}
    # Debug builds name the sources of the code that may panic.
    program = (root / image).read_bytes()
    inside = {
        tuple(part.decode() for part in found)
        for found in re.findall(rb"/registry/src/[^/]+/([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[0-9A-Za-z.+-]*)/", program)
    }
    if PROFILE == "dev":
        assert len(inside) > 50
    assert inside <= named, inside - named
    assert {"libc6", "libgcc-s1", "ca-certificates", "rust", "parlance-shared"} <= {name for name, _ in named}
    # Crates of the build alone are not in the program.
    assert not {"serde_derive", "syn", "cc", "tempfile"} & {name for name, _ in named}
    refs = {component["bom-ref"] for component in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    asked = {ref for entry in bom["dependencies"] for ref in [entry["ref"], *entry["dependsOn"]]}
    assert asked <= refs


def test_the_dockerfiles_commands_were_run(images):
    ran = " ".join(command for _, command in images.ran)
    for needed in ("cargo install cargo-chef", "cargo chef prepare", "cargo chef cook", "cargo build", "assemble.sh"):
        assert needed in ran
    runs = sum(name == "RUN" for name, _ in instructions(DOCKERFILE.read_text()))
    assert len(images.ran) == runs


@pytest.mark.skipif(PROFILE != "release", reason="PARLANCE_IMAGE_PROFILE=release builds what is shipped (many minutes)")
@pytest.mark.parametrize("image", IMAGES)
def test_a_shipped_image_is_small_and_names_no_folder_of_the_builder(images, image):
    root = images.stages[image].root
    tar = ["tar", "--create", "--sort=name", "--numeric-owner", "--file=-", "."]
    layers = subprocess.run(tar, cwd=root, check=True, stdout=subprocess.PIPE).stdout
    compressed = len(subprocess.run(["gzip", "-6"], input=layers, check=True, stdout=subprocess.PIPE).stdout)
    print(f"{image}: {compressed / 1e6:.1f} MB compressed")
    assert compressed <= LIMIT
    program = (root / image).read_bytes()
    assert b"/src/target/" not in program and b".cargo/registry" not in program
    assert workspace()[0].as_posix().encode() not in program
