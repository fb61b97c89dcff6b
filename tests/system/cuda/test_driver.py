"""What real PyTorch of a CUDA image says of a driver, what our check makes of it, and the floor we claim.

A double of the driver's library answers; PyTorch, the CUDA runtime and the image are the real ones.
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.engine import Engine
from pipeline.compat import shipped
from pipeline.compat.no_cuda import why_no_cuda
from pipeline.formats.cuda import shown_version
from pipeline.model import ImageTarget
from pipeline.model.errors import MachineError
from pipeline.suite.checks import check_environment
from pipeline.suite.driver_double import Answers, compiled, source
from pipeline.suite.expect import Mismatch
from tests.system.cuda.looks import Look, looks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.engine import Finished, Launch
    from pipeline.compat.no_cuda import Sight
    from pipeline.model import Cell
    from tests.system.cuda.cuda_image import CudaImage

pytestmark = pytest.mark.needs("engine", "registry", "mmdebstrap", "cuda-build")

HOST, IMAGE = MachineError, Mismatch
NEW = 13030
"""A driver that is newer than any CUDA of the matrix, so that its age is no cause."""

UNEXPECTED = r"Unexpected error from cudaGetDeviceCount\(\).* Error"

ROWS: dict[str, tuple[Look, str, type[Exception], str]] = {
    "no-library": (Look(None), "Found no NVIDIA driver on your system", HOST, "no-gpu-given"),
    "no-compute": (
        Look(None, env=(("NVIDIA_DRIVER_CAPABILITIES", "utility"),)),
        "Found no NVIDIA driver on your system",
        IMAGE,
        "no-driver-asked",
    ),
    "too-old": (
        Look(Answers(init=0, version=11080)),
        r"The NVIDIA driver on your system is too old \(found version 11080\)",
        HOST,
        "driver-too-old",
    ),
    "803": (
        Look(Answers(803, NEW)),
        f"{UNEXPECTED} 803: system has unsupported display driver / cuda driver combination",
        HOST,
        "driver-mismatch",
    ),
    "803-inside": (
        Look(Answers(803, NEW), is_inside=True),
        f"{UNEXPECTED} 803: system has unsupported display driver / cuda driver combination",
        IMAGE,
        "driver-shadowed",
    ),
    "804": (
        Look(Answers(804, NEW)),
        f"{UNEXPECTED} 804: forward compatibility was attempted on non supported HW",
        HOST,
        "compat-unsupported",
    ),
    "804-inside": (
        Look(Answers(804, NEW), is_inside=True),
        f"{UNEXPECTED} 804: forward compatibility was attempted on non supported HW",
        IMAGE,
        "driver-shadowed",
    ),
    "old-inside": (
        Look(Answers(version=11080), is_inside=True),
        "The NVIDIA driver on your system is too old",
        IMAGE,
        "driver-shadowed",
    ),
    "stub-inside": (
        Look(Answers(34, NEW), is_inside=True),
        f"{UNEXPECTED} 34: CUDA driver is a stub library",
        IMAGE,
        "driver-shadowed",
    ),
    "802": (Look(Answers(802, NEW)), f"{UNEXPECTED} 802: system not yet initialized", HOST, "fabric-manager"),
    "100": (Look(Answers(100, NEW)), "No CUDA GPUs are available", HOST, "no-gpu-given"),
    "hidden": (
        Look(Answers(100, NEW), env=(("CUDA_VISIBLE_DEVICES", "-1"),)),
        "No CUDA GPUs are available",
        IMAGE,
        "gpus-hidden",
    ),
    "999": (
        Look(Answers(999, NEW)),
        "CUDA unknown error - this may be due to an incorrectly set up environment",
        HOST,
        "unknown-error",
    ),
    "304": (Look(Answers(304, NEW)), f"{UNEXPECTED} 304: OS call failed", HOST, "driver-fails"),
    "no-tables": (
        Look(Answers(0, NEW, devices=1)),
        f"{UNEXPECTED} 500: named symbol not found",
        IMAGE,
        "pytorch-fails",
    ),
    "mixed": (
        Look(Answers(0, NEW, devices=1), path=("/other",)),
        f"{UNEXPECTED} 500",
        IMAGE,
        "mixed-installation",
    ),
}
"""A driver, what PyTorch says of it, and whether our check blames the host or the image, for which cause."""

MINORS = {10: 3, 11: 9, 12: 10, 13: 4}
"""How many minor versions of CUDA a major has had."""


def steps(cell: Cell) -> tuple[int, ...]:
    """The versions of CUDA that a driver may support, from the major before that of the cell to its last."""
    own = int((cell.cuda_version or "").partition(".")[0])
    return tuple(major * 1000 + minor * 10 for major in (own - 1, own) for minor in range(MINORS[major]))


@pytest.fixture(scope="module")
def seen(cuda_image: CudaImage, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sight]:
    """What PyTorch of the image saw of every driver, by the name of the row, or its version."""
    rows = {name: look for name, (look, *_) in ROWS.items()}
    versions = {f"{version}": Look(Answers(version=version)) for version in steps(cuda_image.image.cell)}
    other = tmp_path_factory.mktemp("other")
    info = other / "torch-2.5.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.5.1\n")
    (info / "INSTALLER").write_text("conda\n")
    other.chmod(0o755)
    folder = tmp_path_factory.mktemp("drivers")
    return looks(cuda_image.image.ref, rows | versions, folder, {other: "/other"})


@pytest.mark.parametrize("name", ROWS)
def test_pytorch_says_this_of_the_driver_and_the_check_names_the_cause(
    name: str, seen: Mapping[str, Sight], cuda_image: CudaImage
) -> None:
    _, said, fault, cause = ROWS[name]
    assert re.match(said, seen[name].said), seen[name]
    stage: Any = SimpleNamespace(
        trial=SimpleNamespace(cell=cuda_image.image.cell, target=ImageTarget(ref=str(cuda_image.image.ref))),
        facts=lambda: {"torch": {"is_available": seen[name].said == ""}},
        probe=lambda _: seen[name].model_dump(mode="json"),
    )
    with pytest.raises(fault, match=rf"\b{cause}: (?s:.*)\nhint: "):
        check_environment.check_cuda(stage)


def test_the_certificate_names_what_the_image_asks_of_the_driver(cuda_image: CudaImage) -> None:
    """PyTorch's own library for it, vLLM's kernels and allocator; nothing that CUDA's libraries define."""
    symbols = set(cuda_image.certificate.driver_symbols)
    assert {"cuInit", "cuModuleLoadDataEx", "cuTensorMapEncodeTiled", "cuMemCreate"} <= symbols
    assert not {symbol for symbol in symbols if symbol.startswith("cuFile")}


class WithoutCompiler(Engine):
    """The engine; in its containers PATH has the image's Python, and no compiler."""

    def run(self, launch: Launch, *, seconds: float) -> Finished:
        """Run it so."""
        return super().run(replace(launch, env={"PATH": "/opt/venv/bin"}), seconds=seconds)


def test_a_double_that_cannot_be_compiled_is_one_error_with_the_remedy(cuda_image: CudaImage) -> None:
    """Nothing is known of the image then."""
    ref = cuda_image.image.ref
    with WithoutCompiler.connect(timeout=300) as engine:
        engine.pull(ref)
        with pytest.raises(MachineError) as raised:
            compiled(engine, ref, source((), Answers()), run="tests-of-the-driver")
        assert engine.of_run("tests-of-the-driver") == ()
    assert raised.value.exit_code == 3
    assert raised.value.what.startswith(
        f"a double of the driver cannot be compiled in {ref}: there is no C comp"
    )
    assert raised.value.hint.startswith("the image needs a C compiler (`system: [gcc]` in the matrix)")


def test_every_driver_for_an_older_cuda_is_told_with_both_versions(
    seen: Mapping[str, Sight], cuda_image: CudaImage
) -> None:
    """Such as 12.4 where CUDA 13.0 is inside."""
    cuda = cuda_image.image.cell.cuda_version or ""
    older = [
        version for version in steps(cuda_image.image.cell) if version < int(cuda.partition(".")[0]) * 1000
    ]
    for version in older:
        sight = seen[f"{version}"]
        assert f"is too old (found version {version})" in sight.said
        cause = why_no_cuda(sight, is_image=True)
        assert cause.name == "driver-too-old"
        assert f"up to {shown_version(version)}, torch {sight.torch} is built for CUDA {cuda}" in cause.what


def test_the_floor_that_is_claimed_is_the_first_driver_that_pytorch_accepts(
    seen: Mapping[str, Sight], cuda_image: CudaImage
) -> None:
    """The driver of each version step by step; below the floor PyTorch refuses every one."""
    versions, certificate = steps(cuda_image.image.cell), cuda_image.certificate
    accepted = [version for version in versions if "too old" not in seen[f"{version}"].said]
    assert accepted == list(versions[versions.index(accepted[0]) :])
    row = shipped().floor(certificate.cuda)
    assert row is not None
    assert shown_version(accepted[0]) == f"{row.cuda}.0"
    assert certificate.driver is not None
    assert certificate.driver.version == row.driver
