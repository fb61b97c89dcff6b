"""Ctrl-C at any time: it ends soon, says so, and leaves no process, no container and no half of a file."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.model.errors import INTERRUPTED
from tests.system.commands.tiny_images import WAITS
from tests.system.commands.user import (
    MATRIX,
    ROOT,
    TORCH,
    User,
    interrupted,
    running,
    shell_of,
    until,
    uv_wheel,
)

if TYPE_CHECKING:
    from tests.system.commands.package_index import Index

pytestmark = pytest.mark.needs("engine", "registry", "x86-64")


def test_ctrl_c_while_wheels_are_fetched(user: User, index: Index) -> None:
    """A silent server delays nothing; what is there of the wheel is not under its name."""
    process = user.starts(user.command("build"), **index.environment)
    until(lambda: {TORCH.filename, uv_wheel().filename} <= set(index.asked), process)
    code, narration = interrupted(process, 10)
    assert (code, "interrupted" in narration) == (INTERRUPTED, True), narration
    assert [path for path in user.files() if path.suffix == ".whl"] == []
    user.left_nothing()


@pytest.mark.needs("index", "mmdebstrap")
def test_ctrl_c_while_the_base_is_made(
    user: User, links: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing is left of the system that was being unpacked: no file, no mount, no process."""
    refresh = time.strftime("%Y-%m-%d")
    base = f'base: {{suite: bookworm, refresh: "{refresh}"}}'
    user.writes((MATRIX % (user.base, user.repository)).replace(f'base: {{image: "{user.base}"}}', base))
    scratch = tmp_path_factory.mktemp("scratch")
    for folder in (scratch, *scratch.parents[:2]):
        folder.chmod(0o755)  # apt fetches as a user of its own
    process = user.starts(user.command("build", "--find-links", str(links)), TMPDIR=str(scratch))
    until(lambda: list(scratch.glob("mmdebstrap.*/var/lib/dpkg/info/*")), process)
    code, narration = interrupted(process)
    assert (code, "interrupted" in narration) == (INTERRUPTED, True), narration
    assert list(scratch.iterdir()) == []
    assert str(scratch) not in Path("/proc/mounts").read_text()
    assert user.tags() == ((), ())
    user.left_nothing()


@pytest.mark.needs("index")
@pytest.mark.parametrize("to", ["group", "process"])
def test_ctrl_c_while_an_image_is_built(user: User, links: Path, to: str) -> None:
    """The build step in the engine ends too, whether all of us hear the signal or we alone."""
    before, shell = user.tags(), shell_of(user)
    process = user.starts(user.command("build", "--find-links", str(links)))
    until(lambda: running(shell), process)
    if to == "group":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, narration = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED, narration
    assert list(user.cache.glob("build-*")) == []
    assert user.tags() == before
    user.left_nothing()
    deadline = time.monotonic() + 15
    while running(shell):
        assert time.monotonic() < deadline, "the build step still runs in the engine"
        time.sleep(0.1)


def test_ctrl_c_while_a_server_runs_and_once_more_while_it_is_ended(user: User) -> None:
    """The containers are gone; an impatient second Ctrl-C changes nothing."""
    user.has_built(WAITS)
    process = user.starts(user.command("verify"))
    until(user.containers, process)
    before = user.tags()
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    code, narration = interrupted(process)
    assert (code, "interrupted" in narration) == (INTERRUPTED, True), narration
    assert user.tags() == before
    user.left_nothing()


def test_ctrl_c_under_nox(user: User) -> None:
    """It waits until all that was started is gone."""
    user.has_built(WAITS)
    for name in ("noxfile.py", "pyproject.toml"):
        shutil.copy(ROOT / name, user.checkout)
    have_installed(user.checkout)
    process = user.starts([sys.executable, "-m", "nox", "-s", "verify"])
    until(user.containers, process)
    code, narration = interrupted(process)
    assert code == INTERRUPTED, narration
    assert "interrupted: everything that was started here has ended" in narration, narration
    user.left_nothing()


def have_installed(checkout: Path) -> None:
    """Have the environment that nox would make: here it is ours."""
    environment = checkout / ".nox" / f"py{sys.version_info.major}.{sys.version_info.minor}"
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    asked = hashlib.sha256((checkout / "pyproject.toml").read_bytes() + bytes(checkout)).hexdigest()
    (environment / "project.installed").write_text(asked)
