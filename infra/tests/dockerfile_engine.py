"""Builds the Dockerfile without Docker: the instructions that it uses, each carried out as an engine would.

A stage is a folder that is the root of its commands. They see it under the same paths as in Docker (a mount namespace and a
chroot), and of this machine only what stands in for the base image: the compiler, the system's tools, the packages' records.
The checkout itself is not there: what COPY does not bring along is missing. Needs Linux and the right to mount (root).
"""

import os
import shlex
import shutil
import stat
import string
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser

# Of this machine, for stages whose base is not `scratch`.
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/var/lib/dpkg"]
# How a machine reaches its registries is not the Dockerfile's business.
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
PASSED_ON_PREFIXES = ("CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_")


class NotUnderstood(Exception):
    """The Dockerfile has something that this engine does not know. Teach it, rather than skip it."""


def instructions(text):
    """(name, rest) of each instruction, comments left out."""
    parser = DockerfileParser(fileobj=_bytes(text))
    return [(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]


def _bytes(text):
    import io

    return io.BytesIO(text.encode())


def context_of(folder):
    """The files that .dockerignore lets into the context, relative to the folder."""
    patterns = [line.strip() for line in (Path(folder) / ".dockerignore").read_text().splitlines()]
    patterns = [line for line in patterns if line and not line.startswith("#")]
    # The library lets these two through whatever is said; BuildKit does not copy them.
    found = exclude_paths(str(folder), patterns, dockerfile="Dockerfile")
    files = {Path(path) for path in found if (Path(folder) / path).is_file()}
    return sorted(files - {Path("Dockerfile"), Path(".dockerignore")})


@dataclass
class Stage:
    name: str
    base: str
    root: Path
    environment: dict = field(default_factory=dict)
    arguments: dict = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list = field(default_factory=list)
    command: list = field(default_factory=list)
    healthcheck: list = field(default_factory=list)
    is_from_scratch: bool = False


class Engine:
    def __init__(
        self, dockerfile, context, scratch, *, arguments=None, persistent=None, hidden=None, settings=None, images=None
    ):
        """`persistent`: folders of this machine that stay from build to build, by their path in the stage. `hidden`: more of
        this machine that stands in for base images. `settings`: variables for the commands of a stage, by its name.
        `images`: folders that stand in for what is copied from a base image, by its path there, by the stage's name."""
        self.steps = instructions(Path(dockerfile).read_text())
        self.context = Path(context)
        self.scratch = Path(scratch)
        self.given = arguments or {}
        self.persistent = persistent or {}
        self.hidden = hidden or {}
        self.settings = settings or {}
        self.images = images or {}
        self.stages = {}
        self.ran = []

    def build(self):
        """Carries out every instruction; gives the stages by name."""
        global_arguments, stage = {}, None
        for name, rest in self.steps:
            if name == "FROM":
                stage = self._from(rest, global_arguments)
            elif stage is None and name == "ARG":
                self._argument(rest, global_arguments)
            elif stage is None:
                raise NotUnderstood(f"{name} before FROM")
            else:
                getattr(self, f"_{name.lower()}", self._unknown(name))(stage, rest)
        return self.stages

    def _unknown(self, name):
        def refuse(_stage, rest):
            raise NotUnderstood(f"{name} {rest}")

        return refuse

    def _from(self, rest, arguments):
        words = _expand(rest, arguments).split()
        base, name = words[0], words[2] if len(words) == 3 else f"stage {len(self.stages)}"
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise NotUnderstood(f"FROM {rest}")
        stage = Stage(name, base, self.scratch / name.replace(" ", "-"))
        if base in self.stages:
            above = self.stages[base]
            _copy_tree(above.root, stage.root)
            stage.environment, stage.workdir = dict(above.environment), above.workdir
            stage.user, stage.is_from_scratch = above.user, above.is_from_scratch
            stage.entrypoint, stage.command = list(above.entrypoint), list(above.command)
        else:
            stage.root.mkdir(parents=True)
            stage.is_from_scratch = base == "scratch"
            if not stage.is_from_scratch:
                for folder in ("tmp", "root", "proc", "dev"):
                    (stage.root / folder).mkdir()
                for path, source in self.images.get(name, {}).items():
                    shutil.copytree(source, _inside(stage.root, path))
        self.stages[name] = stage
        return stage

    def _argument(self, rest, into):
        name, _, default = rest.partition("=")
        into[name] = self.given.get(name, _unquoted(_expand(default, into)))

    def _arg(self, stage, rest):
        self._argument(rest, stage.arguments)

    def _env(self, stage, rest):
        for pair in shlex.split(_expand(rest, stage.arguments | stage.environment)):
            name, _, value = pair.partition("=")
            stage.environment[name] = value

    def _workdir(self, stage, rest):
        stage.workdir = rest
        _inside(stage.root, rest).mkdir(parents=True, exist_ok=True)

    def _user(self, stage, rest):
        stage.user = rest

    def _expose(self, stage, rest):
        int(rest)

    def _entrypoint(self, stage, rest):
        stage.entrypoint = _exec_form(rest)

    def _cmd(self, stage, rest):
        stage.command = _exec_form(rest)

    def _healthcheck(self, stage, rest):
        _, found, command = rest.partition("CMD ")
        if not found:
            raise NotUnderstood(f"HEALTHCHECK {rest}")
        stage.healthcheck = _exec_form(command)

    def _copy(self, stage, rest):
        words = shlex.split(rest)
        options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        sources = [word for word in words if not word.startswith("--")]
        target = sources.pop()
        if unknown := options.keys() - {"from", "chown"}:
            raise NotUnderstood(f"COPY with {unknown}")
        to = _inside(stage.root, os.path.join(stage.workdir, target))
        for source in sources:
            if "from" in options:
                _copy_into(_inside(self._folder_of(options["from"]), source), to, options.get("chown", "0:0"))
            else:
                self._copy_context(source, to)

    def _folder_of(self, name):
        if name in self.stages:
            return self.stages[name].root
        raise NotUnderstood(f"COPY --from={name}")

    def _copy_context(self, source, to):
        wanted = [path for path in context_of(self.context) if source == "." or path == Path(source) or Path(source) in path.parents]
        if not wanted:
            raise FileNotFoundError(f"COPY {source}: not in the context; see .dockerignore")
        for path in wanted:
            single = path == Path(source)
            goal = to / (path.name if single else path if source == "." else path.relative_to(source))
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.context / path, goal)

    def _run(self, stage, rest):
        if stage.is_from_scratch:
            raise NotUnderstood(f"there is nothing to run in {stage.name}: RUN {rest}")
        if rest.startswith(("--", "[", "<<")):
            raise NotUnderstood(f"RUN {rest}")
        self.ran.append((stage.name, rest))
        variables = {"PATH": _path(), "HOME": "/root"} | _passed_on() | stage.environment | stage.arguments
        variables |= self.settings.get(stage.name, {})
        self._in_stage(stage, ["/bin/sh", "-c", rest], variables)

    def _in_stage(self, stage, command, variables):
        mounts = ["set -e"]
        for source in SYSTEM:
            if os.path.islink(source):
                link = _inside(stage.root, source)
                if not link.is_symlink():
                    link.symlink_to(os.readlink(source))
            elif os.path.isdir(source):
                mounts += _mount(source, stage.root, source, is_read_only=True)
        for source, path in self.hidden.items():
            mounts += _mount(source, stage.root, path, is_read_only=True)
        for path, source in self.persistent.items():
            mounts += _mount(source, stage.root, path, is_read_only=False)
        mounts += _mount("/dev", stage.root, "/dev", is_read_only=False)
        mounts.append(f"mount -t proc proc {shlex.quote(str(stage.root / 'proc'))}")
        told = [f"{name}={value}" for name, value in variables.items()]
        inner = f"cd {shlex.quote(stage.workdir)} && exec {shlex.join(command)}"
        chroot = ["/usr/sbin/chroot", str(stage.root), "/usr/bin/env", "-i", *told, "/bin/sh", "-c", inner]
        script = "\n".join([*mounts, f"exec {shlex.join(chroot)}"])
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"stage {stage.name}: RUN {shlex.join(command[2:])}\n{done.stdout[-6000:]}")


def _mount(source, root, path, is_read_only):
    to = _inside(root, path)
    to.mkdir(parents=True, exist_ok=True)
    mounts = [f"mount --rbind {shlex.quote(str(source))} {shlex.quote(str(to))}"]
    if is_read_only:
        mounts.append(f"mount -o remount,bind,ro {shlex.quote(str(to))}")
    return mounts


def _inside(root, path):
    return root / str(path).lstrip("/")


def _path():
    """As in the base image: the compiler before the system's own tools."""
    cargo = shutil.which("cargo")
    return os.pathsep.join([os.path.dirname(cargo), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])


def _passed_on():
    names = [name for name in os.environ if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)]
    return {name: os.environ[name] for name in names}


def _expand(text, variables):
    return string.Template(text).safe_substitute(variables)


def _unquoted(text):
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _exec_form(text):
    import json

    words = json.loads(text)
    if not isinstance(words, list):
        raise NotUnderstood(f"no list: {text}")
    return words


def _copy_tree(source, to):
    subprocess.run(["cp", "--archive", "--reflink=auto", str(source), str(to)], check=True)


def _copy_into(source, to, owner):
    """As COPY does: the content of a folder, or a file; permissions and times are kept, the owner is not."""
    user, group = (int(number) for number in owner.split(":"))
    if not source.exists():
        raise FileNotFoundError(f"COPY {source}")
    if source.is_file():
        to = to / source.name if to.is_dir() else to
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)
        os.chown(to, user, group)
        return
    to.mkdir(parents=True, exist_ok=True)
    for folder, folders, files in os.walk(source, topdown=False):
        goal = to / Path(folder).relative_to(source)
        goal.mkdir(parents=True, exist_ok=True)
        for name in files:
            shutil.copy2(Path(folder) / name, goal / name, follow_symlinks=False)
            os.chown(goal / name, user, group, follow_symlinks=False)
        for name in folders:
            shutil.copystat(Path(folder) / name, goal / name)
            os.chown(goal / name, user, group)
    os.chmod(to, stat.S_IMODE(source.stat().st_mode))
    os.chown(to, user, group)
    shutil.copystat(source, to)
