"""What ``doctor --container`` and ``--python`` make of what PyTorch and the driver say there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.model.errors import MachineError, UsageError
from pipeline.runner.doctor import inside
from pipeline.suite.probes import MARK
from pipeline.suite.targets.target import Completed
from tests.unit.compat.test_no_cuda import NO_LIBRARY, PIP, sight

CPU = {"torch": "2.13.0+cpu", "cuda": None, "torches": ("torch 2.13.0+cpu in /opt/venv by uv",)}


def told(*, is_for_cpu: bool = False, **seen: Any) -> inside.Inside:
    """What is said of an image in which this was seen."""
    printed = f"words of an import\n{MARK}{sight(**seen).model_dump_json()}\n"
    done = Completed(0, printed, "")
    return inside._told("an image", done, is_image=True, is_for_cpu=is_for_cpu)


def test_cuda_that_is_there_is_told() -> None:
    seen = told(init=0, devices=2, said="")
    assert seen.cause is None
    assert seen.text == "torch 2.11.0+cu130 for CUDA 13.0 sees 2 GPUs, and a driver for CUDA 13.0"


@pytest.mark.parametrize(
    ("seen", "name", "fault"),
    [
        (CPU | {"conda": ("pytorch-2.5.1-py3.11_cuda12.4",)}, "mixed-installation", "image"),
        (
            {"torches": (PIP, "torch 2.10.0 in /c by conda"), "init": 0, "devices": 1},
            "mixed-installation",
            "image",
        ),
        ({"version": 12040}, "driver-too-old", "host"),
        (NO_LIBRARY | {"version": None}, "no-gpu-given", "host"),
        (CPU, "cpu-build", "image"),
        ({"torch": None, "torches": (), "said": "No module named 'torch'"}, "no-torch", "image"),
    ],
)
def test_each_cause_is_told_apart(seen: dict[str, Any], name: str, fault: str) -> None:
    cause = told(**seen).cause
    assert cause
    assert (cause.name, cause.fault) == (name, fault)
    assert cause.hint


def test_a_cpu_image_that_says_so_is_meant_so() -> None:
    assert told(is_for_cpu=True, **CPU).is_meant
    assert not told(is_for_cpu=True, **NO_LIBRARY | {"version": None}).is_meant


@pytest.mark.parametrize(
    ("code", "hint"),
    [(132, "Illegal instruction"), (137, "takes more memory"), (139, "crashed on import"), (None, "by hand")],
)
def test_a_python_that_dies_has_no_answer(code: int | None, hint: str) -> None:
    with pytest.raises(MachineError) as raised:
        inside._told("an image", Completed(code, "", "Fatal Python error"), is_image=True, is_for_cpu=False)
    assert "Fatal Python error" in raised.value.what
    assert hint in raised.value.hint


def test_an_answer_that_is_none_is_no_cause() -> None:
    done = Completed(0, MARK + json.dumps({"torch": 1}), "")
    with pytest.raises(MachineError):
        inside._told("an image", done, is_image=True, is_for_cpu=False)


def test_an_environment_of_this_machine_is_asked_by_its_python() -> None:
    """The one that runs the tests has no PyTorch."""
    cause = inside.of_python(Path(sys.executable)).cause
    assert cause
    assert cause.name == "no-torch"


def test_a_python_that_is_not_there_is_a_slip(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        inside.of_python(tmp_path / "python")


def test_an_archive_is_run_by_no_engine(tmp_path: Path) -> None:
    (tmp_path / "image.tar").touch()
    with pytest.raises(UsageError, match="no engine runs it from there"):
        inside._present(None, str(tmp_path / "image.tar"), None)  # type: ignore[arg-type] # it is not asked
