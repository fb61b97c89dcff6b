"""How far a proof is, and what is left of it by what each check took in this checkout the last time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from pipeline.adapters import files
from pipeline.model import Frozen, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pipeline.model import Check

_MAX_BYTES = 1 << 16
_MINUTE = 60


class _Last(Frozen):
    """The seconds of each check, by name."""

    seconds: Annotated[
        dict[str, Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]], Field(max_length=200)
    ]


class Pace:
    """The checks of one proof, and the seconds that those of an earlier one took, as far as there was one."""

    def __init__(self, names: Iterable[str], seconds: Mapping[str, float]) -> None:
        self._left, self._seconds = list(names), seconds
        self._count = len(self._left)

    def after(self, name: str) -> str:
        """A line for a check that has ended: which of how many it is, and about how many seconds are left."""
        if name in self._left:
            self._left.remove(name)
        told = f"{name} ({self._count - len(self._left)} of {self._count} checks"
        known = [self._seconds[other] for other in self._left if other in self._seconds]
        return f"{told}, about {_about(sum(known))} left)" if known else f"{told})"


def _about(seconds: float) -> str:
    """Rounded as far as such a guess is worth."""
    if seconds >= 2 * _MINUTE:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{max(5, 5 * round(seconds / 5))} s"


def last(file: Path) -> Mapping[str, float]:
    """The seconds that each check took when this file was written; none where there is none of ours."""
    try:
        return _Last.model_validate_json(files.read(file, _MAX_BYTES, links=False)).seconds
    except (OSError, ValidationError):
        return {}


def remember(file: Path, checks: Iterable[Check]) -> None:
    """Write what each check took that ran; what ran before and did not now keeps its seconds."""
    took = {
        check.name: check.seconds for check in checks if check.outcome in {Outcome.PASSED, Outcome.FAILED}
    }
    with suppress(OSError):  # a full disk takes nothing from what the checks saw
        files.write(file, _Last(seconds={**last(file), **took}).model_dump_json().encode())
