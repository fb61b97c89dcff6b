"""The check `cuda` where CUDA is not available: the image fails for its own fault, and for no other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.model import ImageTarget, PythonTarget
from pipeline.model.errors import MachineError
from pipeline.suite.checks import check_environment
from pipeline.suite.expect import Mismatch
from tests.builders import CPU_CELL, CUDA_CELL, IMAGE
from tests.unit.compat.test_no_cuda import sight

CONTAINER = ImageTarget(ref=str(IMAGE.ref))
MACHINE = PythonTarget(python="/opt/venv/bin/python")


def check(target: ImageTarget | PythonTarget = CONTAINER, **seen: Any) -> None:
    """Run it on an environment whose probes tell this."""
    stage: Any = SimpleNamespace(
        trial=SimpleNamespace(cell=CUDA_CELL, target=target),
        facts=lambda: {"torch": {"is_available": False}},
        probe=lambda name: sight(**seen).model_dump(mode="json") if name == "driver" else None,
    )
    check_environment.check_cuda(stage)


def test_an_image_without_a_gpu_is_not_judged() -> None:
    with pytest.raises(MachineError, match=r"no-gpu-given: .*\nhint: run it with `--gpus all`"):
        check()


def test_an_image_that_hides_the_driver_fails_with_the_remedy() -> None:
    with pytest.raises(Mismatch) as failure:
        check(library="/usr/local/cuda/compat/libcuda.so.1", is_on_root=True, init=803)
    assert failure.value.expected == "torch.cuda.is_available() True"
    assert failure.value.actual.startswith("driver-shadowed: /usr/local/cuda/compat/libcuda.so.1, which is ")
    assert "\nhint: take it (a compat library" in failure.value.actual


def test_the_same_on_bare_metal_is_the_machines_trouble() -> None:
    with pytest.raises(MachineError, match="driver-mismatch"):
        check(MACHINE, library="/usr/local/cuda/compat/libcuda.so.1", is_on_root=True, init=803)


def test_a_cpu_cell_asks_no_driver() -> None:
    """It has no CUDA, and must not claim any."""
    stage: Any = SimpleNamespace(
        trial=SimpleNamespace(cell=CPU_CELL), facts=lambda: {"torch": {"is_available": False}}
    )
    check_environment.check_cuda(stage)
    stage.facts = lambda: {"torch": {"is_available": True}}
    with pytest.raises(Mismatch):
        check_environment.check_cuda(stage)
