"""An engine whose disk fills while it exports an image: one error, and everything as it was."""

from __future__ import annotations

import secrets
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from pipeline.model import Repository
from pipeline.model.errors import MACHINE
from tests.system.commands.tiny_images import program, push
from tests.system.commands.user import MATRIX
from tests.system.own_engine import AS_ROOT, own_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.commands.user import User

pytestmark = pytest.mark.needs("engine", "containerd", "dockerd", "registry", "root", "index")

ENDS_WELL = bytes.fromhex("bf00000000 b83c000000 0f05")  # exit(0)
MB = 1_000_000
BASE = 40 * MB
"""Twice on the engine's disk, as layer and unpacked, before the build begins; its export adds two more."""
DISK = 150 * MB
"""Room for the base, and the 38 MB of uv that the build is handed; none for the export."""


@contextmanager
def small_disk() -> Iterator[Path]:
    """A folder with a short path on a disk of its own."""
    with TemporaryDirectory(prefix="engine-") as folder:
        subprocess.run([*AS_ROOT, "mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([*AS_ROOT, "umount", folder], check=True)


def test_a_full_disk_of_the_engine_is_one_error_and_leaves_nothing(user: User, links: Path) -> None:
    files = {"bin/sh": program(ENDS_WELL), "environment/x": b"", "data": secrets.token_bytes(BASE)}
    base = push(Repository(user.repository.host, f"{user.repository.path}-base"), files, {})
    user.writes(MATRIX % (base, user.repository))
    with small_disk() as disk, own_engine(disk) as engine:
        before = user.tags()
        done = user.types("build", "--find-links", str(links), DOCKER_HOST=engine.address)
        assert done.returncode == MACHINE, done.stderr
        assert done.stderr.count("no space left on device") == 1
        assert "the engine's disk filled up during the build" in done.stderr
        assert "hint: " in done.stderr
        assert user.tags() == before
        assert engine.docker("images", "--quiet") == ""
        assert "Total:\t\t0B" in engine.docker("buildx", "du")
        assert not list(user.cache.glob("build-*"))
