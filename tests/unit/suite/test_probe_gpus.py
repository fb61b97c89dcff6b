"""The probe of a host's GPUs, run as it is, beside a library in place of pynvml that plays the driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.compat.gpus_here import HostSight
from pipeline.suite import probes

if TYPE_CHECKING:
    from pathlib import Path

PYNVML = """
class NVMLError(Exception):
    def __init__(self, value):
        self.value = value
    def __str__(self):
        return "words of NVML"

class Memory:
    total = 80 << 30

class c_nvmlGpuFabricInfo_t:
    state = status = 0

NVML_P2P_CAPS_INDEX_WRITE, NVML_P2P_CAPS_INDEX_NVLINK = 1, 2
def byref(it): return it
def fails(value):
    raise NVMLError(value)

def nvmlInit(): pass
def nvmlSystemGetDriverVersion(): return "580.65.06"
def nvmlSystemGetCudaDriverVersion_v2(): return 13000
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return f"handle {index}"
def nvmlDeviceGetName(gpu): return "NVIDIA H100"
def nvmlDeviceGetCudaComputeCapability(gpu): return (9, 0)
def nvmlDeviceGetMemoryInfo(gpu): return Memory
def nvmlDeviceGetMigMode(gpu): fails(3)
def nvmlDeviceGetMaxMigDeviceCount(gpu): return 7
def nvmlDeviceGetMigDeviceHandleByIndex(gpu, index): return "handle" if index < 3 else fails(6)
def nvmlDeviceGetGpuFabricInfo(gpu, info): fails(3)
def nvmlDeviceGetP2PStatus(one, other, way): return 0 if way == 1 else 5
"""


def seen(folder: Path, more: str = "") -> HostSight:
    """What the probe tells of a machine whose driver answers as above, less what ``more`` says otherwise."""
    (folder / "pynvml.py").write_text(PYNVML + more)
    done = subprocess.run(
        [sys.executable, "-B", "-c", probes.source("gpus")],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer: Any = probes.result(done.stdout)
    return HostSight.model_validate_json(json.dumps(answer))


def test_the_driver_the_gpus_and_what_lies_between_them_are_told(tmp_path: Path) -> None:
    host = seen(tmp_path)
    assert (host.failure, host.driver, host.cuda) == (None, "580.65.06", 13000)
    assert [(gpu.name, gpu.architecture, gpu.instances, gpu.fabric) for gpu in host.gpus] == [
        ("NVIDIA H100", "sm_90", None, None)
    ] * 2
    assert host.peers == ((0, 1, 0, 5),)


def test_a_refusal_of_nvml_is_told_by_its_number_and_words(tmp_path: Path) -> None:
    host = seen(tmp_path, "def nvmlInit(): fails(18)\n")
    assert (host.failure, host.said, host.gpus) == (18, "words of NVML", ())


@pytest.mark.parametrize(
    "lost",
    [
        "def nvmlDeviceGetHandleByIndex(index): return 'handle' if index else fails(15)\n",
        "def nvmlDeviceGetName(gpu): return 'NVIDIA H100' if gpu == 'handle 1' else fails(15)\n",
    ],
)
def test_a_gpu_that_is_lost_hides_no_other(lost: str, tmp_path: Path) -> None:
    host = seen(tmp_path, lost)
    assert [gpu.failure for gpu in host.gpus] == [15, None]


def test_instances_are_counted_in_mig_mode_alone(tmp_path: Path) -> None:
    host = seen(tmp_path, "def nvmlDeviceGetMigMode(gpu): return [1, 1]\n")
    assert [gpu.instances for gpu in host.gpus] == [3, 3]
    host = seen(tmp_path, "def nvmlDeviceGetMigMode(gpu): return [0, 0]\n")
    assert [gpu.instances for gpu in host.gpus] == [None, None]


def test_the_fabric_is_told_where_there_is_one(tmp_path: Path) -> None:
    host = seen(tmp_path, "def nvmlDeviceGetGpuFabricInfo(gpu, info): info.state, info.status = 2, 0\n")
    assert host.gpus[0].fabric == (2, 0)


def test_an_old_driver_that_does_not_know_its_cuda_is_still_told(tmp_path: Path) -> None:
    host = seen(tmp_path, "def nvmlSystemGetCudaDriverVersion_v2(): fails(13)\n")
    assert (host.failure, host.cuda, len(host.gpus)) == (None, 0, 2)
