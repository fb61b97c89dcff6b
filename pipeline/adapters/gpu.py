"""The GPUs of this machine, asked through NVIDIA's management library; none where it is not there."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Gpu:
    """One GPU; ``capability`` is its compute capability, such as (9, 0)."""

    name: str
    uuid: str
    capability: tuple[int, int]
    memory_bytes: int

    @property
    def architecture(self) -> str:
        """``sm_90`` for (9, 0)."""
        return f"sm_{self.capability[0]}{self.capability[1]}"


def gpus() -> tuple[Gpu, ...]:
    """The GPUs, in the driver's order; empty where there is no driver, no library, or no answer."""
    with contextlib.suppress(Exception), _library() as nvml:
        return tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    return ()


def driver() -> str:
    """The driver's version, such as ``580.65.06``; empty where there is none."""
    with contextlib.suppress(Exception), _library() as nvml:
        return str(nvml.nvmlSystemGetDriverVersion())
    return ""


def bytes_in_use() -> int:
    """Bytes of memory in use on all GPUs together, whoever uses them; 0 where there is none."""
    with contextlib.suppress(Exception), _library() as nvml:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return sum(int(nvml.nvmlDeviceGetMemoryInfo(handle).used) for handle in handles)
    return 0


@contextlib.contextmanager
def _library() -> Iterator[Any]:
    """NVML, initialised. It is loaded here and not before: most machines have none."""
    nvml = importlib.import_module("pynvml")
    nvml.nvmlInit()
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle).total
    name, uuid = nvml.nvmlDeviceGetName(handle), nvml.nvmlDeviceGetUUID(handle)
    return Gpu(str(name), str(uuid), (int(major), int(minor)), int(memory))
