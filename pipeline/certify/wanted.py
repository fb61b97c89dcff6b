"""What is expected of an image, where that is known; a stranger's image is judged by its own word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from pipeline.nouns import Cell, RuleName, Sizes


@dataclass(frozen=True)
class Budget:
    """How large an image may be, in bytes, and by which fraction it may outgrow the last proven one."""

    compressed: int | None = None
    installed: int | None = None
    growth: float = 0.1


@dataclass(frozen=True)
class Wanted:
    """What is expected. None and empty mean that nothing is.

    ``pins`` are names and versions of the lock: all that must be installed, and nothing else may be;
    ``archs`` the architectures that must be reached (``sm_90``); ``labels`` those that the image must carry
    with these values; ``last`` the sizes of the last image of the same cell that was proven.
    """

    cell: Cell | None = None
    pins: tuple[tuple[str, str], ...] | None = None
    archs: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    budget: Budget = field(default_factory=Budget)
    last: Sizes | None = None


@dataclass(frozen=True)
class Waiver:
    """An exception that matrix.yaml makes: findings of this rule on paths that the glob matches, until a day.

    A finding without a path is about the image as a whole: only ``*`` matches it.
    """

    rule: RuleName
    path: str
    reason: str
    expires: date
