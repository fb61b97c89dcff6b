"""What a cell consists of: its wheels by hash, and its image by digest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.model.hashes import key_of
from pipeline.model.names import project_of

if TYPE_CHECKING:
    from datetime import date

    from pipeline.model.cells import Cell, JustifiedRequirement
    from pipeline.model.references import ImageRef


@dataclass(frozen=True, order=True)
class Pin:
    """One wheel of a lock. ``size`` is in bytes; ``filename`` is a file name, not a path."""

    name: str
    version: str
    sha256: str
    filename: str
    size: int

    def __post_init__(self) -> None:
        if self.filename in {"", ".", ".."} or re.search(r"[/\\\0]", self.filename):
            raise ValueError(f"{self.filename!r} is not a file name")


@dataclass(frozen=True)
class Cooled:
    """What a cool-down of so many days let into a lock: files that were uploaded before a day, by UTC.

    Besides these ``young`` packages and ``undated`` ones, whose index gives no time, each with the reason.
    ``unneeded`` are the exceptions without which the lock would be the same.
    """

    days: int
    before: date
    young: tuple[JustifiedRequirement, ...] = ()
    undated: tuple[JustifiedRequirement, ...] = ()
    unneeded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lock:
    """Every wheel of one cell, by hash, and the packages that may be missing or differ, with reasons.

    ``cooled`` is how it was made, which is known only then; it is nothing of what a lock holds.
    """

    cell: Cell
    pins: tuple[Pin, ...]
    omitted: tuple[JustifiedRequirement, ...] = ()
    overridden: tuple[JustifiedRequirement, ...] = ()
    cooled: Cooled | None = field(default=None, compare=False)

    @property
    def digest(self) -> str:
        """Digest of the pins; comments and order do not matter."""
        return f"sha256:{key_of(sorted([p.name, p.version, p.sha256] for p in self.pins))}"

    @property
    def versions(self) -> dict[str, str]:
        """Normalised name to version."""
        return {pin.name: pin.version for pin in self.pins}

    @property
    def excused(self) -> tuple[str, ...]:
        """Names whose broken requirements are accepted with a reason."""
        return tuple(sorted({r.text for r in self.omitted} | {project_of(r.text) for r in self.overridden}))

    @property
    def size(self) -> int:
        """Bytes to download if no wheel is cached."""
        return sum(pin.size for pin in self.pins)


def immutable_tag(cell: Cell, build_key: str) -> str:
    """The tag of exactly one build: the cell id and the first 12 digits of the build key."""
    return f"{cell.id}-{build_key[:12]}"


@dataclass(frozen=True)
class Image:
    """An image by digest, with the key of what it was built from: in staging, or where it is published."""

    cell: Cell
    ref: ImageRef
    build_key: str
    lock: str

    @property
    def immutable_tag(self) -> str:
        """The tag of exactly this build."""
        return immutable_tag(self.cell, self.build_key)
