"""The exit code of a run, from its rows: the worst cell decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import State
from pipeline.model.errors import GOOD, MACHINE, REFUSED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pipeline.model import Status

TEXT = """\
0    good
1    a check failed, or the gate refused
2    the matrix or the command line is wrong
3    the machine, the network or a tool failed: nothing was found out
130  interrupted"""
"""Every exit code of the program, as its help says it."""


def of_observing(statuses: Iterable[Status]) -> int:
    """Of a command that judges no cell: 3 where something could not be found out."""
    return MACHINE if any(status.state is State.INCONCLUSIVE for status in statuses) else GOOD


def of_proving(statuses: Iterable[Status], *, goal: Collection[State], require_all: bool) -> int:
    """Of a command that brings cells to one of these states: 1 where one is short of it.

    A cell that is pending on this machine is short of it only where all are required.
    """
    statuses = tuple(statuses)
    required = [status for status in statuses if require_all or not status.pending]
    if any(status.state not in {*goal, State.INCONCLUSIVE} for status in required):
        return REFUSED
    return of_observing(statuses)
