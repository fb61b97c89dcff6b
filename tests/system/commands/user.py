"""Somebody who types ``python -m pipeline`` in a checkout of one small cell, and what we wait for."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import matrix
from pipeline.adapters.recipe import IMAGES
from pipeline.adapters.registry import Registry
from pipeline.model import ImageRef, Lock, Pin, Repository
from pipeline.stages import build, lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.model import Spec
from tests.system.commands.tiny_images import program, push

ROOT = Path(__file__).parents[3]
CELL = "vllm0.32.0-torch2.13.0-cpu-py3.11"
BODY = secrets.token_bytes(4000)
TORCH = Pin("torch", "2.13.0", hashlib.sha256(BODY).hexdigest(), "torch-2.13.0-py3-none-any.whl", len(BODY))
NO_INDEX = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "PIP_FIND_LINKS": ""}

MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: ["0.32.0"]
base: {image: "%s"}
publish: {repository: "%s"}
exceptions:
  - {rule: contents, path: "*", reason: no Python package is in a tiny image, expires: "2099-12-31"}
"""


@dataclass
class User:
    """Somebody with a checkout of one small cell, and a home and repositories of their own."""

    home: Path
    repository: Repository
    base: ImageRef
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def checkout(self) -> Path:
        return self.home / "checkout"

    @property
    def cache(self) -> Path:
        return self.home / "cache" / "tagproof" / "wheels"

    @property
    def spec(self) -> Spec:
        return matrix.load(self.checkout / "matrix.yaml", None).specs[0]

    @property
    def staging(self) -> Repository:
        return Repository(self.repository.host, f"{self.repository.path}-staging")

    def writes(self, text: str, pins: tuple[Pin, ...] = (TORCH,)) -> None:
        """matrix.yaml, and a lock of these pins that fits it."""
        self.checkout.mkdir(parents=True, exist_ok=True)
        (self.checkout / "matrix.yaml").write_text(text)
        lock.write(self.spec, Lock(self.spec.cell, pins), self.checkout / "locks")

    def has_built(self, code: bytes) -> ImageRef:
        """Have an image of this program where the pipeline finds what it has built."""
        written = lock.read(self.spec, self.checkout / "locks")
        assert written
        key = build.key(self.spec, written, self.base, None, IMAGES)
        labels = build.labels(self.spec, written, None)
        return push(self.staging, {"python3": program(code)}, labels, key)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pipeline", *words]

    def types(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """``python -m pipeline WORDS`` in the checkout."""
        return self.runs(self.command(*words), **more)

    def runs(self, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **more}
        return subprocess.run(
            command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False
        )

    def starts(self, command: list[str], **more: str) -> subprocess.Popen[str]:
        """The same, to be interrupted; it is the leader of a group, as a shell would make it."""
        process = subprocess.Popen(
            command,
            cwd=self.checkout,
            env={**self.environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.started.append(process)
        return process

    def leaves(self) -> None:
        """Take along what a failed test left: processes, containers, images."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        for line in self.containers():
            subprocess.run(["docker", "rm", "--force", line.split()[0]], check=True, capture_output=True)
        listed = ["docker", "images", "--digests", "--format", "{{.Repository}}@{{.Digest}}"]
        images = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
        mine = [name for name in images if name.startswith(str(self.repository))]
        if mine:
            subprocess.run(["docker", "image", "rm", "--force", *mine], check=True, capture_output=True)

    def containers(self) -> list[str]:
        """The containers of this user's images, ended ones too."""
        listed = ["docker", "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Image}}"]
        lines = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
        return [line for line in lines if str(self.repository) in line]

    def processes(self) -> list[str]:
        """What runs in this user's environment: all that our commands started and did not end."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str(self.home).encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def files(self) -> set[Path]:
        """Every file of the home, less reports, logs, keys, the test model and a registry's own."""
        beside = {".state", "models", "config", "data", "docker"}
        return {path for path in self.home.rglob("*") if path.is_file() and not beside & set(path.parts)}

    def tags(self) -> tuple[tuple[str, ...], ...]:
        """The tags of staging and destination."""
        return Registry(self.staging).tags(), Registry(self.repository).tags()

    def left_nothing(self) -> None:
        """No container, no process."""
        assert self.containers() == []
        assert self.processes() == []


@contextmanager
def a_user(host: str, home: Path, shell: bytes) -> Iterator[User]:
    repository = Repository(host, f"trouble/{secrets.token_hex(6)}")
    base = push(Repository(host, f"{repository.path}-base"), {"bin/sh": program(shell)}, {})
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "CACHE", "STATE")}
    ours = {name: value for name, value in os.environ.items() if name != "TAGPROOF_KEY"}
    user = User(home, repository, base, {**ours, **folders})
    user.writes(MATRIX % (base, repository))
    try:
        yield user
    finally:
        user.leaves()


def uv_wheel() -> Pin:
    recipe = IMAGES / "tools.txt"
    pins = lock.read_pins(recipe, recipe.read_text().splitlines())
    return next(pin for pin in pins if "x86_64" in pin.filename)


def until(seen: Callable[[], object], process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Wait until something is so, while a command runs."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.05)


def interrupted(process: subprocess.Popen[str], seconds: float = 30) -> tuple[int, str]:
    """Ctrl-C, as a terminal sends it: to the whole group. Exit code and narration."""
    os.killpg(process.pid, signal.SIGINT)
    _, narration = process.communicate(timeout=seconds)
    return process.returncode, narration


def running(program_of: str) -> list[Path]:
    """The processes, in containers too, whose program ends in these 16 bytes, in hex."""
    found = []
    for exe in Path("/proc").glob("[0-9]*/exe"):
        with suppress(OSError):
            if exe.stat().st_size < 4096 and exe.read_bytes()[-16:].hex() == program_of:
                found.append(exe.parent)
    return found


def shell_of(user: User) -> str:
    """What ``running`` knows the shell of the base by."""
    registry = Registry(user.base.repository)
    manifest = registry.manifest(user.base.digest)
    assert manifest
    with tarfile.open(fileobj=io.BytesIO(registry.blob(manifest.layers[0].digest))) as tar:
        file = tar.extractfile("bin/sh")
        assert file
        return file.read()[-16:].hex()
