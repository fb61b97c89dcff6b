"""Real CUDA environments, 8 GB each, are certified without a GPU: ``nox -s oracles`` makes and judges them.

One of them is for another processor, whose programs nothing here can run.

docs/certificates/ holds what came of it, explained.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from pipeline import matrix
from pipeline.adapters import host, paths, uv, wheel_cache
from pipeline.adapters.recipe import IMAGES
from pipeline.model import Severity
from pipeline.runner.audits import of_folder
from pipeline.runner.expectations import expectations_of
from pipeline.stages import base, fetch, lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from pipeline.model import Expectations, Lock, Spec

pytestmark = pytest.mark.needs("index", "mmdebstrap")

ROOT = Path(__file__).parents[2]
CELLS = ("vllm0.32.0-torch2.13.0-cu130-py3.11", "vllm0.33.0-torch2.14.0-cu130-py3.11-arm64")
SECONDS = 30
"""For the certificate on two cores; it takes some 5 to 8 where nothing else runs."""


class Silent:
    """A progress bar that nobody watches."""

    def advance(self, amount: int) -> None:
        """Say nothing."""


def silent(_: int) -> AbstractContextManager[Silent]:
    return nullcontext(Silent())


@dataclass(frozen=True)
class Environment:
    """A root with a base's files and a cell's wheels, and what the cell promises of it."""

    root: Path
    expected: Expectations


@pytest.fixture(scope="module", params=CELLS)
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """The base's files, and on them the wheels of the lock, as in the image; a folder has no labels."""
    (spec,) = matrix.select(matrix.load(ROOT / "matrix.yaml"), [request.param])
    locked = lock.read(spec, ROOT / "locks")
    assert locked
    folder = tmp_path_factory.mktemp("environment")
    root = folder / "root"
    unpack_base(spec, folder)
    with tarfile.open(folder / "base.tar") as files:
        files.extractall(root, filter="tar")
    install(spec, locked, root / "opt" / "venv", folder)
    yield Environment(root, replace(expectations_of(spec, locked), labels=()))
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def unpack_base(spec: Spec, folder: Path) -> None:
    """The base as it is made; for another processor its packages as they are, none of their scripts run."""
    if host.executes(spec.cell.machine):
        base._bootstrap(spec, IMAGES, folder)
        return
    processor = spec.cell.platform.removeprefix("linux/")
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        "--skip=check/qemu",
        f"--architectures={processor}",
    ]
    command += [f"--include={','.join(base._packages(IMAGES))}", spec.base.suite, str(folder / "base.tar")]
    subprocess.run(command, check=True)


def install(spec: Spec, locked: Lock, prefix: Path, folder: Path) -> None:
    """What images/install.sh does, less the bytecode. Wheels for another processor are not kept."""
    assert f"{sys.version_info.major}.{sys.version_info.minor}" == spec.cell.python
    cache = paths.wheels() if host.executes(spec.cell.machine) else folder / "wheels"
    fetch.fetch(spec, locked.pins, cache, (), silent)
    listing = folder / "wheels.txt"
    listing.write_text("\n".join(str(wheel_cache.path_of(pin, cache)) for pin in locked.pins))
    platform = uv.platform_of(spec.cell.machine, spec.base.glibc)
    command = [find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable]
    command += ["--python-platform", platform, "--prefix", str(prefix), "--link-mode", "copy"]
    command += ["--no-cache", "--no-index", "--no-deps", "-r", str(listing)]
    subprocess.run(command, check=True)


def test_it_has_no_error_and_only_the_warnings_that_the_report_explains(environment: Environment) -> None:
    """In seconds; and it names GPUs and the driver as the facts of its releases do."""
    started = time.monotonic()
    certificate = of_folder(environment.root, environment.expected)
    seconds = time.monotonic() - started
    assert certificate.passed, certificate.at(Severity.ERROR)
    assert {one.rule for one in certificate.at(Severity.WARNING)} == {"jit", "contents"}
    assert certificate.driver
    assert certificate.driver.version == "580"
    reached = {gpu.name: gpu.reach for gpu in certificate.gpus}
    assert {reached["H200"], reached["GH200"], reached["GB200"], reached["GB10 (DGX Spark)"]} == {"native"}
    assert reached["V100"] == "none"
    assert seconds < SECONDS
