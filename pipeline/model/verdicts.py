"""Whether a cell can exist: what the rules of compatibility say of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a rule of compatibility judges, from best to worst."""

    OK = "ok"
    WARN = "warn"
    UNKNOWN = "unknown"
    IMPOSSIBLE = "impossible"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return tuple(Level).index(self)


@dataclass(frozen=True)
class Finding:
    """What one rule says of a cell: the values that it compared, where they are from, and the remedy."""

    rule: str
    level: Level
    text: str
    source: tuple[str, ...]
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}" + (f"\nhint: {self.hint}" if self.hint else "")


@dataclass(frozen=True)
class Verdict:
    """What all rules say of a cell, each of which spoke for itself."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of what was found; of nothing nothing is known."""
        return max({one.level for one in self.findings}, key=lambda level: level.rank, default=Level.UNKNOWN)

    def at(self, *levels: Level) -> tuple[Finding, ...]:
        """The findings of these levels."""
        return tuple(one for one in self.findings if one.level in levels)


@dataclass(frozen=True)
class Conditions:
    """Under what a cell shall run, as far as it is known; what is not asked for is not judged.

    ``archs`` are the architectures that must be covered (``sm_90``), ``gpus`` names of GPUs whose
    architecture must be, ``driver`` is the host's ("550.54.14"). ``glibc`` and ``gcc`` are those of the
    base ("2.36", "12"); ``named_base`` says that it is an image of the user's, whose packages nobody knows.
    ``pins`` maps packages that are pinned beside PyTorch and vLLM to their versions. ``compat`` is the
    CUDA of a forward-compatibility package inside ("13.0").
    """

    archs: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    driver: str | None = None
    glibc: str | None = None
    gcc: str | None = None
    named_base: bool = False
    pins: tuple[tuple[str, str], ...] = ()
    compat: str | None = None
