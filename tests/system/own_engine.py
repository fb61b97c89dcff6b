"""An engine of the tests' own, with CDI: beside the machine's, which others use and which must not change.

CDI is chosen when an engine starts, and its folders of specifications are one setting for all: so the engine
that is here would have to be restarted, and its users' containers would see devices of ours. This one has its
own containerd, data, socket and folder, no container of it has a network, and it ends with the block.
"""

from __future__ import annotations

import grp
import json
import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.model import ImageRef

if TYPE_CHECKING:
    from collections.abc import Iterator

AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]
_SECONDS = 60
_BRIDGE = Path("/sys/class/net/docker0")
"""The bridge of the machine's engine: one that is told to have none removes it, whosever it is."""


@dataclass(frozen=True)
class OwnEngine:
    """The engine: its address for DOCKER_HOST, and the folder where it looks for specifications."""

    address: str
    specifications: Path

    def docker(self, *words: str, stdin: bytes = b"") -> str:
        """What a command of Docker's client prints."""
        command = ["docker", "--host", self.address, *words]
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout.decode().strip()

    def takes(self, layer: bytes, name: str = "tests/tiny") -> ImageRef:
        """An image of one layer, which is a tar archive."""
        self.docker("import", "-", f"127.0.0.1:1/{name}", stdin=layer)
        return ImageRef.parse(self.docker("images", "--digests", "--format", "{{.Repository}}@{{.Digest}}"))


@contextmanager
def own_engine(folder: Path) -> Iterator[OwnEngine]:
    """Start it in this folder, whose path must be short: a socket's name has at most 107 bytes."""
    specifications = folder / "cdi"
    specifications.mkdir()
    containerd, engine = folder / "containerd.sock", folder / "docker.sock"
    config = folder / "daemon.json"
    settings = {
        "features": {"cdi": True, "containerd-snapshotter": True},
        "cdi-spec-dirs": [str(specifications)],
        "data-root": str(folder / "data"),
        "exec-root": str(folder / "exec"),
        "pidfile": str(folder / "docker.pid"),
        "hosts": [f"unix://{engine}"],
        "group": grp.getgrgid(os.getgid()).gr_name,
        "containerd": str(containerd),
        "bridge": _BRIDGE.name if _BRIDGE.exists() else "none",
        "iptables": False,
        "ip6tables": False,
    }
    config.write_text(json.dumps(settings))
    places = (f"--{name}={folder / f'containerd-{name}'}" for name in ("root", "state"))
    with (
        _running(folder / "containerd.log", "containerd", *places, f"--address={containerd}") as first,
        _running(folder / "dockerd.log", "dockerd", f"--config-file={config}") as second,
    ):
        own = OwnEngine(f"unix://{engine}", specifications)
        _await(own, first, second, folder / "dockerd.log")
        yield own
    subprocess.run([*AS_ROOT, "rm", "-rf", *map(str, folder.iterdir())], check=True)


@contextmanager
def _running(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs as root while the block lasts, in a session of its own."""
    with log.open("wb") as out:
        process = subprocess.Popen([*AS_ROOT, *command], stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        subprocess.run([*AS_ROOT, "kill", str(process.pid)], check=False)
        process.wait(_SECONDS)


def _await(
    own: OwnEngine, first: subprocess.Popen[bytes], second: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            own.docker("version")
        except subprocess.CalledProcessError:
            is_up = first.poll() is None and second.poll() is None and time.monotonic() < deadline
            assert is_up, log.read_text(errors="replace")[-2000:]
            time.sleep(0.1)
        else:
            return
