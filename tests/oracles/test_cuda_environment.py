"""A real CUDA environment, 8 GB of it, is certified without a GPU: ``nox -s oracles`` makes it and judges it.

docs/certificates/ holds what came of it, explained.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from pipeline import matrix
from pipeline.adapters import paths, wheel_cache
from pipeline.model import Severity
from pipeline.runner import IMAGES
from pipeline.runner.audits import of_folder
from pipeline.stages import base, fetch, lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from pipeline.model import Lock, Spec

pytestmark = pytest.mark.needs("index", "mmdebstrap")

ROOT = Path(__file__).parents[2]
CELL = "vllm0.32.0-torch2.13.0-cu130-py3.11"
SECONDS = 30
"""For the certificate on two cores; it takes some 5 where nothing else runs."""


class Silent:
    """A progress bar that nobody watches."""

    def advance(self, amount: int) -> None:
        """Say nothing."""


def silent(_: int) -> AbstractContextManager[Silent]:
    return nullcontext(Silent())


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The base's files, and on them the wheels of the lock, as in the image."""
    (spec,) = matrix.select(matrix.load(ROOT / "matrix.yaml"), [CELL])
    locked = lock.read(spec, ROOT / "locks")
    assert locked
    folder = tmp_path_factory.mktemp("environment")
    root = folder / "root"
    base._bootstrap(spec, IMAGES, folder)
    with tarfile.open(folder / "base.tar") as files:
        files.extractall(root, filter="tar")
    install(spec, locked, root / "opt" / "venv", folder)
    yield root
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def install(spec: Spec, locked: Lock, prefix: Path, folder: Path) -> None:
    """What images/install.sh does, less the bytecode."""
    assert f"{sys.version_info.major}.{sys.version_info.minor}" == spec.cell.python
    fetch.fetch(spec, locked.pins, paths.wheels(), (), silent)
    files = [str(wheel_cache.path_of(pin, paths.wheels())) for pin in locked.pins]
    listing = folder / "wheels.txt"
    listing.write_text("\n".join(files))
    command = [
        find_uv_bin(),
        "pip",
        "install",
        "--quiet",
        "--python",
        sys.executable,
        "--prefix",
        str(prefix),
    ]
    command += ["--link-mode", "copy", "--no-cache", "--no-index", "--no-deps", "-r", str(listing)]
    subprocess.run(command, check=True)


def test_it_has_no_error_and_only_the_warnings_that_the_report_explains(environment: Path) -> None:
    """In seconds; and it names GPUs and the driver as the facts of its releases do."""
    started = time.monotonic()
    certificate = of_folder(environment)
    seconds = time.monotonic() - started
    assert certificate.passed, certificate.at(Severity.ERROR)
    assert {one.rule for one in certificate.at(Severity.WARNING)} == {"jit", "contents"}
    assert certificate.driver
    assert certificate.driver.version == "580"
    reached = {gpu.name: gpu.reach for gpu in certificate.gpus}
    assert (reached["H200"], reached["T4"], reached["V100"]) == ("native", "native", "none")
    assert seconds < SECONDS
