"""NVIDIA's drivers: which of two is older, and which of them know a GPU.

A GPU has a first driver, and once NVIDIA has let go of its architecture, a last branch. What an image needs
of the host's driver comes on top of that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.model import Finding, Level

if TYPE_CHECKING:
    from pipeline.compat.facts import Facts
    from pipeline.compat.rows import Source
    from pipeline.model import Conditions

MINOR_VERSIONS = "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"
PTX = "https://github.com/vllm-project/vllm/pull/28305"
DRIVERS = "https://docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html"
_NUMBERS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")


@dataclass(frozen=True)
class Window:
    """The Linux drivers that know a GPU or an architecture.

    ``first`` is the oldest ("570.133.20"), ``last`` the newest branch ("580"); None while there is no end.
    """

    gpu: str
    first: str
    last: str | None
    source: Source

    def __str__(self) -> str:
        end = f", and none after branch R{self.last}" if self.last else ""
        return f"{self.gpu} needs driver {self.first} or newer{end}"


def window_of(name: str, facts: Facts) -> Window | None:
    """The drivers of a GPU by its name, or of an architecture (``sm_90``); None where they are not known.

    A GPU that came later than others of its architecture has a first driver of its own.
    """
    gpu = facts.gpu(name)
    called = gpu.name if gpu else name
    own, shared = facts.drivers_of(called), facts.drivers_of(gpu.sm if gpu else name)
    rows = [row for row in (own, shared) if row]
    if not rows:
        return None
    last = next((row.last for row in rows if row.last), None)
    source = tuple(dict.fromkeys(part for row in rows for part in row.source))
    return Window(called, rows[0].first, last, source)


def windows(conditions: Conditions, facts: Facts) -> tuple[Window, ...]:
    """The drivers of every GPU and architecture that is asked for, as far as they are known."""
    of_each = (window_of(name, facts) for name in (*conditions.gpus, *conditions.archs))
    return tuple(window for window in of_each if window)


def judged(here: str, window: Window) -> Finding:
    """Whether this driver knows the GPU."""
    text = f"{window}; {here} is there"
    if is_past(here, window.last):
        hint = f"take a driver of branch R{window.last}: newer ones do not know this GPU"
        return Finding("driver", Level.IMPOSSIBLE, text, window.source, hint)
    level = reaches(here, window.first)
    return Finding("driver", level, text, window.source, HINTS[level].format(window.first))


def reaches(here: str, needed: str) -> Level:
    """Whether a host's driver is the one that is needed or newer; a warning where only its branch is told."""
    if not older(here, needed):
        return Level.OK
    is_branch_alone = "." not in here and branch(here) == branch(needed)
    return Level.WARN if is_branch_alone else Level.IMPOSSIBLE


HINTS = {
    Level.OK: "",
    Level.WARN: "of that branch not every driver is {} or newer: ask with the whole version of nvidia-smi",
    Level.IMPOSSIBLE: "update the driver to {} or newer",
}
"""What to do where a driver reaches what is needed, perhaps reaches it, and does not."""


def older(left: str, right: str) -> bool:
    """Whether a driver's version (``550.54.14``) is before another's; ``580`` is before all of 580."""
    return numbers(left) < numbers(right)


def is_past(driver: str, last: str | None) -> bool:
    """Whether a driver is of a newer branch than the last one (``580``)."""
    return last is not None and branch(driver) > branch(last)


def branch(version: str) -> int:
    """The branch of a driver: 570 of ``570.133.20``; 0 where there is none."""
    return next(iter(numbers(version)), 0)


def numbers(version: str) -> tuple[int, ...]:
    """A driver's version as numbers, without zeros at the end: 570.26 and 570.26.00 are one."""
    match = _NUMBERS.match(version.strip().removeprefix("R").removeprefix("r"))
    parts = [int(part) for part in match[0].split(".")] if match else []
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)
