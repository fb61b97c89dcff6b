"""When no tag is given: days and hours that the matrix keeps free of publications. All times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HORIZON = timedelta(days=3660)
"""How far ahead an end is looked for."""


@dataclass(frozen=True)
class Freeze:
    """No tag is given at a moment for which all holds that is named here, and why.

    ``days`` are names of WEEKDAYS; ``first`` and ``last`` are days that are in it; ``hours`` are a start,
    which is in it, and an end, which is not, past midnight where it comes before the start.
    """

    reason: str
    days: frozenset[str] = frozenset()
    first: date | None = None
    last: date | None = None
    hours: tuple[time, time] | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether it is for this moment, which is in UTC."""
        day = moment.date()
        if self.days and WEEKDAYS[day.weekday()] not in self.days:
            return False
        if (self.first and day < self.first) or (self.last and day > self.last):
            return False
        return self.hours is None or _is_within(moment.time(), *self.hours)

    def changes(self, moment: datetime) -> Iterator[datetime]:
        """The next moments at which it may end: midnight, and the end of its hours."""
        midnight = datetime.combine(moment.date(), time(), moment.tzinfo) + timedelta(days=1)
        yield midnight
        if self.hours:
            end = datetime.combine(moment.date(), self.hours[1], moment.tzinfo)
            yield end if end > moment else midnight


def at(freezes: Iterable[Freeze], moment: datetime) -> Freeze | None:
    """The first of these that holds at a moment in UTC."""
    return next((freeze for freeze in freezes if freeze.holds(moment)), None)


def opening(freezes: Sequence[Freeze], moment: datetime) -> datetime | None:
    """The first moment from this one on, in UTC, at which none of them holds; None if not in ten years."""
    until = moment + _HORIZON
    while holding := at(freezes, moment):
        moment = min(holding.changes(moment))
        if moment > until:
            return None
    return moment


def _is_within(now: time, start: time, end: time) -> bool:
    return start <= now < end if start < end else now >= start or now < end
