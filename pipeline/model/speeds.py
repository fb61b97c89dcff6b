"""How fast a server was, as the facts of the check ``speed`` say it, and how much slower than another."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST_TOKEN = "first-token-seconds"  # noqa: S105 - no secret, a token of an answer
RATE_ALONE = "tokens-per-second-alone"
RATE_TOGETHER = "tokens-per-second-together"
SPEEDS = (FIRST_TOKEN, RATE_ALONE, RATE_TOGETHER)
"""The facts of ``speed``, by name. Of the first less is better, of the others more."""

_FORM = re.compile(r"(\d{1,9}\.\d{4}) \((\d{1,9}\.\d{4}) to (\d{1,9}\.\d{4}) in (\d{1,3})\)", re.ASCII)


@dataclass(frozen=True)
class Speed:
    """The median of so many rounds, and its quartiles; as text ``0.0123 (0.0120 to 0.0130 in 9)``."""

    median: float
    lower: float
    upper: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """That of these values, two or more."""
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, lower, upper, len(values))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """What such a text says; None of any other one, and of one that no measurement gives."""
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        median, lower, upper = map(float, form.groups()[:3])
        return cls(median, lower, upper, int(form[4])) if 0 < lower <= median <= upper else None

    def __str__(self) -> str:
        return f"{self.median:.4f} ({self.lower:.4f} to {self.upper:.4f} in {self.rounds})"


def slower(name: str, now: Speed, before: Speed) -> float:
    """How many times slower one is than the other, at the least: its better quartile against the worse one.

    Less than 1 where it is faster, or where their rounds overlap: other work on a host slows some of them.
    """
    return now.lower / before.upper if name == FIRST_TOKEN else before.lower / now.upper


def speeds_of(facts: Mapping[str, str]) -> dict[str, Speed]:
    """The speeds among the facts of a check, as far as each can be read."""
    read = {name: Speed.read(facts[name]) for name in SPEEDS if name in facts}
    return {name: speed for name, speed in read.items() if speed}
