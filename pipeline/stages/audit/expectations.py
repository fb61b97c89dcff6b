"""What is expected of an image, where that is known; a stranger's image is judged by its own word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.model import Budget

if TYPE_CHECKING:
    from pipeline.model import Cell, Sizes


@dataclass(frozen=True)
class Expectations:
    """What is expected. None and empty mean that nothing is.

    ``pins`` are names and versions of the lock: all that must be installed, and nothing else may be;
    ``archs`` the architectures that must be reached (``sm_90``); ``labels`` those that the image must carry
    with these values; ``excused`` names of packages that may be absent or of another version than is asked
    for, with a reason in the matrix; ``last`` the sizes of the last image of the same cell that was proven.
    """

    cell: Cell | None = None
    pins: tuple[tuple[str, str], ...] | None = None
    archs: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    excused: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)
    last: Sizes | None = None
