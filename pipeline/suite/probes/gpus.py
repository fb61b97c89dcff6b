"""Probe: the GPUs of this machine, as NVIDIA's management library and the kernel tell of them.

It runs in a process of its own, because a driver that hangs holds whoever asks it for ever.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

NODES = ("nvidia*", "dxg", "nvmap", "kfd")
"""A GPU's files in /dev: of a driver for Linux, in WSL, of a Jetson, and of AMD's."""

NVIDIA, DISPLAYS, BRIDGE = "0x10de", ("0x0300", "0x0302"), "0x0680"
"""PCI's numbers: the maker, the classes of its GPUs, and that of NVSwitch."""

MAX_GPUS = 64


def kernel_facts() -> Any:
    """What /dev, /proc and /sys tell: nodes, the module's version, cards and who drives them."""
    nodes = sorted({node.name for pattern in NODES for node in Path("/dev").glob(pattern)})
    module = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", text_of("/proc/driver/nvidia/version"))
    cards, drivers, switches = 0, set(), 0
    for device in Path("/sys/bus/pci/devices").glob("*"):
        if text_of(device / "vendor").strip() != NVIDIA:
            continue
        kind = text_of(device / "class").strip()
        switches += kind.startswith(BRIDGE)
        if kind.startswith(DISPLAYS):
            cards += 1
            driver = device / "driver"
            drivers.add(driver.resolve().name if driver.exists() else "")
    commands = {text_of(path).strip() for path in Path("/proc").glob("[0-9]*/comm")}
    return {
        "nodes": nodes[:64],
        "module": module[1] if module else "",
        "cards": cards,
        "card_drivers": sorted(drivers)[:16],
        "switches": switches,
        "has_fabric_manager": any(command.startswith("nv-fabricmanage") for command in commands),
        "has_iommu": any(Path("/sys/kernel/iommu_groups").glob("*")),
    }


def text_of(path: str | Path) -> str:
    """A file of the kernel's; empty where there is none, or it cannot be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def nvml_facts() -> Any:
    """What NVML answers: the number and the words of its failure, or the driver and each GPU."""
    facts: Any = {
        "failure": None,
        "said": "",
        "library": "",
        "driver": "",
        "cuda": 0,
        "gpus": [],
        "peers": [],
    }
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        facts["driver"] = str(nvml.nvmlSystemGetDriverVersion())
        facts["cuda"] = cuda_of(nvml)
        handles = [handle_of(nvml, index) for index in range(min(MAX_GPUS, nvml.nvmlDeviceGetCount()))]
        facts["gpus"] = [gpu_facts(nvml, handle) for handle in handles]
        facts["peers"] = peers(nvml, [handle for handle in handles if not isinstance(handle, int)])
    except nvml.NVMLError as error:
        facts |= {"failure": int(error.value), "said": str(error)}
    return facts | {"library": loaded()}


def cuda_of(nvml: Any) -> int:
    """The newest CUDA that the driver serves, as 13000; 0 where it does not say."""
    try:
        return int(nvml.nvmlSystemGetCudaDriverVersion_v2())
    except nvml.NVMLError:
        return 0


def handle_of(nvml: Any, index: int) -> Any:
    """A GPU's handle, or the number of NVML's refusal."""
    return answer(nvml, nvml.nvmlDeviceGetHandleByIndex, index)


def answer(nvml: Any, ask: Any, *about: Any) -> Any:
    """What NVML answers, or the number of its refusal."""
    try:
        return ask(*about)
    except nvml.NVMLError as error:
        return int(error.value)


def gpu_facts(nvml: Any, handle: Any) -> Any:
    """One GPU; of one that does not answer only the number of the failure."""
    unknown = {"name": "", "capability": None, "memory": 0, "instances": None, "fabric": None}
    if isinstance(handle, int):
        return {**unknown, "failure": handle}
    try:
        return {
            "name": str(nvml.nvmlDeviceGetName(handle)),
            "capability": list(nvml.nvmlDeviceGetCudaComputeCapability(handle)),
            "memory": nvml.nvmlDeviceGetMemoryInfo(handle).total,
            "instances": instances(nvml, handle),
            "fabric": fabric(nvml, handle),
            "failure": None,
        }
    except nvml.NVMLError as error:
        return {**unknown, "failure": int(error.value)}


def instances(nvml: Any, handle: Any) -> int | None:
    """How many instances a GPU is cut into; None where it is whole."""
    try:
        if nvml.nvmlDeviceGetMigMode(handle)[0] == 0:
            return None
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # most GPUs know no such mode
        return None
    found = [answer(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index) for index in range(count)]
    return sum(not isinstance(one, int) for one in found)


def fabric(nvml: Any, handle: Any) -> list[int] | None:
    """The state of the fabric as this GPU sees it, and its status; None where NVML knows of none."""
    try:
        info = nvml.c_nvmlGpuFabricInfo_t()
        nvml.nvmlDeviceGetGpuFabricInfo(handle, nvml.byref(info))
    except (AttributeError, nvml.NVMLError):
        return None
    return [info.state, info.status]


def peers(nvml: Any, handles: list[Any]) -> list[list[int]]:
    """Each pair of GPUs: their numbers, the status of writing to each other at all, and by NVLink."""
    ways = (nvml.NVML_P2P_CAPS_INDEX_WRITE, nvml.NVML_P2P_CAPS_INDEX_NVLINK)
    return [
        [
            left,
            right,
            *(answer(nvml, nvml.nvmlDeviceGetP2PStatus, handles[left], handles[right], way) for way in ways),
        ]
        for left in range(len(handles))
        for right in range(left + 1, len(handles))
    ]


def loaded() -> str:
    """The file of libnvidia-ml.so that this process has mapped."""
    lines = text_of("/proc/self/maps").splitlines()
    files = [line.split(None, 5)[-1] for line in lines if "/" in line]
    return next((file for file in files if Path(file).name.startswith("libnvidia-ml.so")), "")


def main() -> None:
    """Print all of it, and exit at once."""
    sys.stdout.write(f"\nprobe-result: {json.dumps(kernel_facts() | nvml_facts())}\n")
    sys.stdout.flush()
    os._exit(0)


main()
