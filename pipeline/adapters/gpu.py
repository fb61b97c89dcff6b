"""The GPUs of this machine, asked through NVIDIA's management library; none where it is not there."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.model.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


@dataclass(frozen=True)
class Usage:
    """What is in use on one GPU at one moment; ``pids`` are of the processes that compute there.

    They are numbered as the driver numbers them, in the first namespace of processes of the machine.
    """

    uuid: str
    total_bytes: int
    used_bytes: int
    pids: frozenset[int]


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


def usages() -> tuple[Usage, ...]:
    """What is in use on each GPU; empty where there is no driver. Raises MachineError as ``usage``."""
    count = 0
    with contextlib.suppress(Exception), _library() as nvml:
        count = nvml.nvmlDeviceGetCount()
    return tuple(_usage(f"number {index}", partial(_by_index, index)) for index in range(count))


def _by_index(index: int, nvml: Any) -> Any:
    return nvml.nvmlDeviceGetHandleByIndex(index)


def usage(uuid: str) -> Usage:
    """What is in use on the GPU with this UUID. Raises MachineError where it does not answer any more."""
    return _usage(uuid, lambda nvml: nvml.nvmlDeviceGetHandleByUUID(uuid))


def _usage(name: str, handle_of: Callable[[Any], Any]) -> Usage:
    try:
        with _library() as nvml:
            handle = handle_of(nvml)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            pids = frozenset(int(one.pid) for one in nvml.nvmlDeviceGetComputeRunningProcesses(handle))
            return Usage(str(nvml.nvmlDeviceGetUUID(handle)), int(memory.total), int(memory.used), pids)
    except Exception as error:
        raise MachineError(
            f"the GPU {name} does not answer: {error}",
            hint="`nvidia-smi` and the kernel's log (`dmesg`, lines with Xid) say why; reset it, or restart "
            "the machine",
        ) from error


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
