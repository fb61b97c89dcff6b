"""A lock is a requirements file with hashes, which others read too: plain pip installs one."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.adapters import paths, wheel_cache
from pipeline.stages import fetch, lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Lock, Spec

ROOT = Path(__file__).parents[3]
CELL = "torch2.13.0-cpu-py3.11"
OTHER_PYTHON = sys.version_info[:2] != (3, 11)

pytestmark = [
    pytest.mark.needs("index", "x86-64"),
    pytest.mark.skipif(OTHER_PYTHON, reason="the lock is for Python 3.11"),
]


class Silent:
    """A download whose progress is not shown."""

    def advance(self, amount: int) -> None:
        """Show nothing."""


@pytest.fixture(scope="module")
def spec() -> Spec:
    """The cell with the smallest lock of the repository."""
    return next(spec for spec in matrix.load(ROOT / "matrix.yaml").specs if spec.cell.id == CELL)


@pytest.fixture(scope="module")
def committed(spec: Spec) -> Lock:
    """That lock."""
    found = lock.read(spec, ROOT / "locks")
    assert found
    return found


@pytest.fixture
def python() -> Iterator[Path]:
    """The Python of an environment with nothing in it but pip."""
    with TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True, symlinks=True)
        yield Path(folder) / "bin" / "python"


@pytest.fixture(scope="module")
def torch_folder(spec: Spec, committed: Lock) -> Path:
    """A folder with the one wheel that no default index has: the build of PyTorch for this variant."""
    (pin,) = (pin for pin in committed.pins if "+" in pin.version)
    fetch.fetch(spec, [pin], paths.wheels(), lock.folders_of(()), lambda _: nullcontext(Silent()))
    return wheel_cache.path_of(pin, paths.wheels()).parent


def pip(python: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """What pip says, with the settings of this machine."""
    command = [str(python), "-m", "pip", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_plain_pip_installs_a_lock_in_an_empty_environment(
    committed: Lock, python: Path, torch_folder: Path
) -> None:
    """Just what is locked, by its hashes; and PyTorch starts in it."""
    file = lock.path_of(committed.cell, ROOT / "locks")
    options = ("--require-hashes", "--no-deps", "--no-compile", "--find-links", torch_folder)
    done = pip(python, "install", *options, "-r", file)
    assert done.returncode == 0, done.stderr
    rows = json.loads(pip(python, "list", "--format", "json").stdout)
    installed = {
        row["name"].lower().replace("_", "-"): row["version"] for row in rows if row["name"] != "pip"
    }
    assert installed == committed.versions
    said = subprocess.run(
        [python, "-W", "ignore", "-c", "import torch; print(torch.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == committed.versions["torch"]


def test_pip_refuses_a_lock_whose_hash_is_another(committed: Lock, python: Path, tmp_path: Path) -> None:
    """What a lock is for: another file of the same name and version is not installed."""
    pin = next(pin for pin in committed.pins if pin.name == "filelock")
    file = tmp_path / "lock.txt"
    file.write_text(f"{pin.name}=={pin.version} --hash=sha256:{'0' * 64}\n")
    done = pip(python, "install", "--require-hashes", "--no-deps", "-r", file)
    assert done.returncode != 0
    assert "HASH" in done.stderr
