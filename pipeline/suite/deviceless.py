"""How a program ended that found no GPU: by the tracebacks that it wrote, for that reason and no other."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

START = "Traceback (most recent call last):"

_WRITER = re.compile(r"(?:\(\w+ pid=\d+\) )?(?:[A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] )?")
"""What vLLM writes before each line: the process, and of a logger's line its level, time and place."""
_MOMENT = re.compile(r" \d\d-\d\d \d\d:\d\d:\d\d ")

_NO_DEVICE = re.compile(
    r"RuntimeError: No CUDA GPUs are available"  # torch/csrc/cuda/Module.cpp, of cudaErrorNoDevice
    r"|AssertionError: .*out of bounds for 0 devices"  # vllm/v1/worker/gpu_worker.py, before it takes one
    r"|RuntimeError: CUDA error: no CUDA-capable device is detected"  # the CUDA runtime's own words
)
_CONSEQUENCE = re.compile(r"RuntimeError: Engine core initialization failed\. See root cause above")
"""vllm/v1/engine/utils.py: the server ends because a process of it has."""


@dataclass(frozen=True)
class Raised:
    """An error that ended in the log: its last line, and the files of its traceback."""

    error: str
    files: tuple[str, ...]

    @property
    def is_for_want_of_a_device(self) -> bool:
        """Whether it says that there is no GPU."""
        return _NO_DEVICE.match(self.error) is not None

    @property
    def is_consequence(self) -> bool:
        """Whether it says no more than that another process has ended."""
        return _CONSEQUENCE.match(self.error) is not None


def raised(log: str) -> tuple[Raised, ...]:
    """Every error in a log that has a traceback, in the order in which each writer wrote them.

    What a process logs and what it prints are two streams, whose lines come in any order.
    """
    lines_of: dict[str, list[str]] = defaultdict(list)
    for line in log.splitlines():
        prefix = _WRITER.match(line)
        start = prefix.end() if prefix else 0
        lines_of[_MOMENT.sub(" ", line[:start])].append(line[start:])
    return tuple(error for lines in lines_of.values() for error in _tracebacks(lines))


def _tracebacks(lines: list[str]) -> Iterator[Raised]:
    files: list[str] | None = None
    for line in lines:
        if line == START:
            files = []
        elif files is None:
            continue
        elif line.startswith('  File "'):
            files.append(line.split('"')[1])
        elif line and not line.startswith(" "):
            yield Raised(line, tuple(files))
            files = None


def other_than_want_of_a_device(log: str, package: str) -> str:
    """What speaks against it that a program ended only because it found no GPU; empty if nothing does.

    ``package`` is the one that has to notice: a text in its words, without it, is no evidence.
    """
    errors = raised(log)
    if others := [one for one in errors if not one.is_for_want_of_a_device and not one.is_consequence]:
        return others[0].error
    noticed = [one for one in errors if one.is_for_want_of_a_device]
    if not any(f"/{package}/" in file for one in noticed for file in one.files):
        return f"no error of {package} that says so"
    return ""
