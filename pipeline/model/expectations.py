"""What an image must be: what lock, matrix and build promise of it, whoever looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.model.cells import Budget, Cell
from pipeline.model.certificates import Sizes  # noqa: TC001 - as above


@dataclass(frozen=True)
class Expectations:
    """What is expected of an image, or of an environment. None and empty mean that nothing is.

    ``cell`` names the release of each axis, ``torch`` PyTorch's version with its local part ("2.13.0+cpu").
    ``pins`` are names and versions of the lock: all that must be installed, and nothing else may be;
    ``archs`` the architectures that must be reached ("sm_90"); ``labels`` those that the image must carry
    with these values; ``excused`` names of packages that may be absent or of another version than is asked
    for, with a reason in the matrix; ``last`` the sizes of the last image of the same cell that was proven.
    """

    cell: Cell | None = None
    torch: str | None = None
    pins: tuple[tuple[str, str], ...] | None = None
    archs: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    excused: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)
    last: Sizes | None = None
