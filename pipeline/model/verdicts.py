"""Whether a cell can exist: the findings of the rules of compatibility."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The result of a rule of compatibility, from best to worst."""

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
    """One rule's result for a cell: the values that it compared, their sources, and the remedy."""

    rule: str
    level: Level
    text: str
    source: tuple[str, ...]
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}" + (f"\nhint: {self.hint}" if self.hint else "")


@dataclass(frozen=True)
class Verdict:
    """The findings of all rules on a cell, each independent of the others."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst level of the findings; UNKNOWN if there is none."""
        return max(
            {finding.level for finding in self.findings}, key=lambda level: level.rank, default=Level.UNKNOWN
        )

    def at(self, *levels: Level) -> tuple[Finding, ...]:
        """The findings of these levels."""
        return tuple(finding for finding in self.findings if finding.level in levels)


@dataclass(frozen=True)
class Conditions:
    """The conditions under which a cell shall run, as far as known; without a condition nothing is judged.

    ``archs`` are the architectures that must be covered (``sm_90``), ``gpus`` the names of GPUs that must be,
    ``driver`` is the host's ("550.54.14"). ``glibc`` and ``gcc`` are those of the base ("2.36", "12");
    ``named_base`` says that the base is an image of the user's, whose packages are unknown. ``pins`` maps
    packages that are pinned in addition to PyTorch and vLLM to their versions. ``compat`` is the CUDA of a
    forward-compatibility package inside ("13.0").
    """

    archs: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    driver: str | None = None
    glibc: str | None = None
    gcc: str | None = None
    named_base: bool = False
    pins: tuple[tuple[str, str], ...] = ()
    compat: str | None = None
