"""What the host reads of a GPU, by the real pynvml, from a library that a test speaks through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.nvml_double import GIB, IS_LOST, UUID, NvmlDouble

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("compiler")


@pytest.fixture
def double(tmp_path: Path) -> NvmlDouble:
    return NvmlDouble(tmp_path)


def ask(folder: Path, expression: str) -> Any:
    """The value of an expression, in a process that finds the double as its NVML."""
    script = (
        "import json; from pipeline.adapters import gpu; from pipeline.model.errors import MachineError\n"
        "from pipeline.suite import dtypes; from tests.builders import CPU_CELL, CUDA_CELL\n"
        f"try: print(json.dumps({expression}))\n"
        "except MachineError as error: print(json.dumps(str(error)))\n"
    )
    env = {**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


USAGE = f"(lambda one: [one.uuid, one.total_bytes, one.used_bytes, sorted(one.pids)])(gpu.usage('{UUID}'))"


def test_memory_and_processes_of_a_gpu_are_read_by_its_uuid(double: NvmlDouble) -> None:
    double.tell(used=70 * GIB, pids=[7, 4])
    assert ask(double.folder, USAGE) == [UUID, 80 * GIB, 70 * GIB, [4, 7]]


def test_a_gpu_that_is_lost_is_an_error_with_its_remedy(double: NvmlDouble) -> None:
    double.tell(status=IS_LOST)
    said = ask(double.folder, USAGE)
    assert said.startswith(f"the GPU {UUID} does not answer: GPU is lost\nhint: `nvidia-smi`")


def test_another_uuid_is_no_gpu_of_this_machine(double: NvmlDouble) -> None:
    assert "GPU-1 does not answer" in ask(double.folder, "gpu.usage('GPU-1').uuid")


def test_a_machine_without_a_driver_has_nothing_in_use(tmp_path: Path) -> None:
    """Its absence is no error; only a GPU that was there can be lost."""
    assert ask(tmp_path, "gpu.usages()") == []


@pytest.mark.parametrize(("capability", "dtype"), [(90, "bfloat16"), (80, "bfloat16"), (75, "float16")])
def test_a_gpu_without_bfloat16_is_served_in_float16(capability: int, dtype: str, double: NvmlDouble) -> None:
    """A cell that needs no GPU calculates on the CPU, whatever GPU is there."""
    double.tell(capability=capability)
    asked = "[dtypes.served(CUDA_CELL), dtypes.served(CPU_CELL)]"
    assert ask(double.folder, asked) == [dtype, "bfloat16"]
