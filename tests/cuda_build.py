"""The one CUDA cell that the tests build, and what a machine lacks to build it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import matrix
from pipeline.adapters import host, paths
from pipeline.adapters.package_index import Index
from pipeline.model import Reason
from pipeline.model.errors import TagproofError
from pipeline.stages import build, fetch, lock

if TYPE_CHECKING:
    from pipeline.model import Lock

ROOT = Path(__file__).parents[1]
CELL = "vllm0.26.0-torch2.11.0-cu130-py3.11"
"""The cell of matrix.yaml with the smallest wheels for CUDA."""

BUILT = "TAGPROOF_CUDA_REPOSITORY"
"""The variable that names a repository in which this user has built the cell: then nothing is built for the
tests, and nothing of it removed after them."""


def lack() -> str:
    """What this machine lacks to build it, with the numbers; nothing where it can."""
    if os.environ.get(BUILT):
        return ""
    (spec,) = matrix.select(matrix.load(ROOT / "matrix.yaml"), [CELL])
    locked = lock.read(spec, ROOT / "locks")
    if locked is None:
        return f"{CELL} has no lock that fits matrix.yaml"
    try:
        _refuse_full_disk(locked)
        return _wheel_out_of_reach(locked)
    except TagproofError as error:
        return error.what


def _refuse_full_disk(locked: Lock) -> None:
    """As the build itself does it; the tests' registry keeps its data where all their files go."""
    places = {build.WHEELS: paths.wheels(), build.REGISTRY: Path(tempfile.gettempdir()), **_engine_data()}
    build.refuse_full_disk(locked, fetch.bytes_missing(locked.pins, paths.wheels()), host.room(places))


def _engine_data() -> dict[str, Path]:
    """Where the engine keeps its data, if it answers and that is on this machine."""
    try:
        ask = ["docker", "info", "--format", "{{.DockerRootDir}}"]
        folder = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {build.ENGINE: folder} if folder.is_dir() else {}


def _wheel_out_of_reach(locked: Lock) -> str:
    """What the index does not offer of what the cache lacks; asked of the largest wheel only."""
    absent = [pin for pin in locked.pins if fetch.bytes_missing([pin], paths.wheels())]
    if not absent:
        return ""
    largest = max(absent, key=lambda pin: pin.size)
    with Index() as index:
        offered = index.files(largest.name)
    if isinstance(offered, Reason):
        return offered.text
    if largest.sha256 not in {file.sha256 for file in offered}:
        return f"the package index does not offer {largest.filename}, nor is it in {paths.wheels()}"
    return ""
