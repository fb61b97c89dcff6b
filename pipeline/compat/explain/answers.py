"""An answer of ``explain``: what fits, what does not and why, and what is near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compat.explain.options import install
from pipeline.compat.explain.question import NONE
from pipeline.compat.stacks import AXES, changed
from pipeline.model import Level

if TYPE_CHECKING:
    from pipeline.compat.explain.options import Option
    from pipeline.compat.explain.refusals import Refusal
    from pipeline.compat.facts import Facts
    from pipeline.model import Cell, Verdict

POSSIBLE = (Level.OK, Level.WARN)


@dataclass(frozen=True)
class Nearest:
    """A possible cell beside one that is not, the values in which it differs, and how it is installed."""

    cell: Cell
    changes: tuple[tuple[str, str], ...]
    install: str


@dataclass(frozen=True)
class Answer:
    """What the facts say to a question.

    Of one build ``verdict`` holds every finding; of several, the findings that all of them share.
    ``options`` are the builds that fit, the newest first, those for a CPU after those for GPUs; ``refused``
    says why others do not. ``notes`` are how the question was understood, and what its answer should not be
    read without.
    """

    summary: str
    level: Level
    verdict: Verdict
    read: str
    options: tuple[Option, ...] = ()
    refused: tuple[Refusal, ...] = ()
    nearest: tuple[Nearest, ...] = ()
    is_of_one_build: bool = False
    notes: tuple[str, ...] = ()


SAID = {
    Level.OK: "possible",
    Level.WARN: "possible, with a warning",
    Level.UNKNOWN: "not known to be possible",
    Level.IMPOSSIBLE: "impossible",
}


def nearby(wish: Cell, other: Cell, facts: Facts) -> Nearest:
    """Another cell beside the one that is wished for."""
    differing = changed(wish, other)
    changes = tuple((axis, str(getattr(other, axis) or NONE)) for axis in AXES if axis in differing)
    return Nearest(other, changes, install(other, facts))
