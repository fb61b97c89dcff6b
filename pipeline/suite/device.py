"""What the host sees of a GPU while something is tried on it, through NVIDIA's management library.

An environment may say that it uses the GPU and compute elsewhere. What it cannot do is to make the driver
tell of a process and of memory that are not there.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import gpu
from pipeline.adapters.gpu import Usage
from pipeline.model.errors import MachineError
from pipeline.suite.expect import Mismatch, expect_that, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.suite.checks import Note

CONTEXT_BYTES = 64 << 20
"""Less than any process takes that computes on a GPU: its CUDA context alone is some hundred MiB."""
SPARE_BYTES = 64 << 20
"""By how much the memory in use may differ before and after."""
BELOW, ABOVE = 0.10, 0.05
"""How far the share of the memory that a server takes may be from the one that it was told.

Below: what it keeps free for its largest batch. Above: CUDA's context and graphs, which it only estimates.
"""
SETTLE_SECONDS = 20.0
"""A driver takes a moment to give back the memory of a process that has ended."""
_SAMPLE_SECONDS = 0.1
_FIRST_NAMESPACE = 4026531836
"""The inode of the first namespace of processes: PROC_PID_INIT_INO, include/linux/proc_ns.h"""


def lost(before: tuple[Usage, ...]) -> str:
    """The first of these GPUs that does not answer any more, and why; nothing if all do."""
    for device in before:
        try:
            gpu.usage(device.uuid)
        except MachineError as error:
            return str(error)
    return ""


def chosen(before: tuple[Usage, ...], uuid: str | None) -> tuple[Usage, ...]:
    """The GPU with this UUID; all of them where none has it."""
    return tuple(device for device in before if device.uuid == uuid) or before


def expect_room(before: tuple[Usage, ...], share: float) -> None:
    """Raise MachineError if no GPU has this share of its memory free: a server would not start for it."""
    free = [1 - device.used_bytes / device.total_bytes for device in before]
    if free and max(free) < share:
        raise MachineError(
            f"of no GPU here {share:g} of the memory is free, at most {max(free):.2f}",
            hint="end what uses it (`nvidia-smi`), or write a smaller `memory:` under `gpu:` in the matrix",
        )


class Watch:
    """The most that was seen of each GPU while a block ran."""

    def __init__(self, before: tuple[Usage, ...]) -> None:
        self.before = before
        self._most = {device.uuid: device for device in before}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look all the time until the block ends."""
        ended = threading.Event()
        thread = threading.Thread(target=self._look_until, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _look_until(self, ended: threading.Event) -> None:
        self._look()
        while not ended.wait(_SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        for uuid, most in self._most.items():
            with suppress(MachineError):  # a GPU that is lost is found where the check ends
                seen = gpu.usage(uuid)
                used, pids = max(most.used_bytes, seen.used_bytes), most.pids | seen.pids
                self._most[uuid] = Usage(uuid, seen.total_bytes, used, pids)

    def taken(self, uuid: str | None) -> Taken:
        """What was taken of the GPU with this UUID, or of the one of which most was taken.

        Raises MachineError where the driver tells of no GPU.
        """
        pairs = [Taken(device, self._most[device.uuid]) for device in chosen(self.before, uuid)]
        if not pairs:
            raise MachineError(
                "the driver's management library (NVML) tells of no GPU here",
                hint="see whether `nvidia-smi` lists one, on the machine that the suite runs on",
            )
        return max(pairs, key=lambda one: one.bytes)


@dataclass(frozen=True)
class Taken:
    """A GPU before a trial, and at the moment of most use."""

    before: Usage
    most: Usage

    @property
    def uuid(self) -> str:
        """Which GPU it is."""
        return self.most.uuid

    @property
    def bytes(self) -> int:
        """Memory that came into use."""
        return self.most.used_bytes - self.before.used_bytes

    @property
    def share(self) -> float:
        """The same, of all of its memory."""
        return self.bytes / self.most.total_bytes

    @property
    def pids(self) -> frozenset[int]:
        """Processes that came."""
        return self.most.pids - self.before.pids

    def note(self, note: Note) -> None:
        """Put it into the record."""
        note("gpu", self.uuid)
        note("memory-before", gib(self.before.used_bytes))
        note("memory-loaded", f"{gib(self.most.used_bytes)} of {gib(self.most.total_bytes)}")
        note("memory-share", f"{self.share:.3f}")


def expect_process(taken: Taken, own: frozenset[int] | None) -> str:
    """A process of the environment computes on the GPU; its number, or why it cannot be known.

    ``own`` are its processes, None where they are not known: then any new one counts. In a namespace of its
    own a container sees numbers of another one or none, and there only the memory speaks. Raises Mismatch.
    """
    found = taken.pids if own is None else taken.pids & own
    if not found and not numbers_are_the_drivers():
        return "not told in this namespace of processes"
    seen = f"only {sorted(taken.most.pids)}, beside {gib(taken.bytes)} that came into use"
    expect_that(f"a process of the environment on the GPU {taken.uuid}", bool(found), seen)
    return ", ".join(map(str, sorted(found)))


def expect_memory(taken: Taken, share: float | None, own: frozenset[int] | None) -> None:
    """Memory came into use: this share of it, give or take; without one, at least what a process needs.

    Raises MachineError where other processes are there that may have taken it, Mismatch otherwise.
    """
    least = CONTEXT_BYTES if share is None else int((share - BELOW) * taken.most.total_bytes)
    most = taken.most.total_bytes if share is None else int((share + ABOVE) * taken.most.total_bytes)
    if not least <= taken.bytes <= most:
        _blame_others(taken.before, taken.most, own)
        what = f"between {gib(least)} and {gib(most)} that come into use on the GPU {taken.uuid}"
        raise Mismatch(what, gib(taken.bytes))


def expect_given_back(before: tuple[Usage, ...], own: frozenset[int] | None) -> str:
    """All memory that came into use is free again within some seconds; what is in use then, of each GPU.

    Raises MachineError where other processes are there that may have taken it, Mismatch otherwise.
    """
    poll(SETTLE_SECONDS, lambda: not _kept(before))
    for device, seen in _kept(before):
        _blame_others(device, seen, own)
        what = f"memory of the GPU {seen.uuid} back at {gib(device.used_bytes)} within {SETTLE_SECONDS:g} s"
        raise Mismatch(what, gib(seen.used_bytes))
    return ", ".join(gib(gpu.usage(device.uuid).used_bytes) for device in before)


def _kept(before: tuple[Usage, ...]) -> list[tuple[Usage, Usage]]:
    """The GPUs with more memory in use than before."""
    pairs = [(device, gpu.usage(device.uuid)) for device in before]
    return [(old, new) for old, new in pairs if new.used_bytes > old.used_bytes + SPARE_BYTES]


def _blame_others(before: Usage, seen: Usage, own: frozenset[int] | None) -> None:
    """Raise MachineError if a process is on this GPU that is none of the environment's.

    Where those are not known, it is one that was there before.
    """
    others = before.pids if own is None else seen.pids - own
    if others and numbers_are_the_drivers():
        raise MachineError(
            f"other processes use the GPU {seen.uuid} meanwhile: {sorted(others)}",
            hint="nothing is known of its memory; run it again while nothing else uses the GPU",
        )


def numbers_are_the_drivers() -> bool:
    """Whether processes have the same numbers here as for the driver."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == _FIRST_NAMESPACE
    except OSError:
        return False


def gib(count: int) -> str:
    """Bytes as GiB."""
    return f"{count / (1 << 30):.2f} GiB"


# -- the server's own word --------------------------------------------------------------------------


def cache_config(metrics: str) -> dict[str, str]:
    """The labels of ``vllm:cache_config_info`` in /metrics. Raises Mismatch if it is missing."""
    found = re.search(r"^vllm:cache_config_info\{(.*)\} 1(?:\.0)?$", metrics, re.MULTILINE)
    if not found:
        raise Mismatch("vllm:cache_config_info in /metrics", "no such metric")
    return dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[1]))


def expect_cache(metrics: str, share: float) -> int:
    """The server has blocks for its cache on the GPU, in the share of memory that it was told; how many."""
    config = cache_config(metrics)
    told = config.get("gpu_memory_utilization", "none")
    is_told = re.fullmatch(r"[0-9]\.[0-9]{1,20}", told) is not None
    expect_that(f"gpu_memory_utilization {share:g} in /metrics", is_told and float(told) == share, told)
    blocks = config.get("num_gpu_blocks", "none")
    are_there = re.fullmatch(r"[1-9][0-9]{0,15}", blocks) is not None
    expect_that("blocks of the KV cache on the GPU", are_there, blocks)
    return int(blocks)
