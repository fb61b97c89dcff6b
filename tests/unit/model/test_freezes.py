"""Freezes: at which moments no tag is given, and when that ends."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.freezes import WEEKDAYS, Freeze, at, opening

WEEKEND = Freeze("nobody is on call", days=frozenset({"sat", "sun"}))
NIGHTS = Freeze("nobody is awake", hours=(time(18), time(6)))
PEAK = Freeze("the peak season", first=date(2026, 12, 20), last=date(2027, 1, 2))
FRIDAYS = Freeze("a weekend comes", days=frozenset({"fri"}), hours=(time(14), time(0)))

FREEZES = st.builds(
    Freeze,
    st.just("r"),
    st.frozensets(st.sampled_from(WEEKDAYS)),
    st.none() | st.dates(date(2026, 11, 1), date(2027, 1, 31)),
    st.none() | st.dates(date(2026, 11, 1), date(2027, 1, 31)),
    st.none() | st.tuples(st.times(), st.times()).filter(lambda pair: pair[0] != pair[1]),
)
MOMENTS = st.datetimes(datetime(2026, 11, 1), datetime(2027, 2, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("freeze", "moment", "expected"),
    [
        (WEEKEND, "2026-11-27T23:59", False),
        (WEEKEND, "2026-11-28T00:00", True),
        (WEEKEND, "2026-11-29T23:59", True),
        (WEEKEND, "2026-11-30T00:00", False),
        (NIGHTS, "2026-11-30T17:59", False),
        (NIGHTS, "2026-11-30T18:00", True),
        (NIGHTS, "2026-12-01T05:59", True),
        (NIGHTS, "2026-12-01T06:00", False),
        (PEAK, "2026-12-19T23:59", False),
        (PEAK, "2026-12-20T00:00", True),
        (PEAK, "2027-01-02T23:59", True),
        (PEAK, "2027-01-03T00:00", False),
        (FRIDAYS, "2026-11-27T13:59", False),
        (FRIDAYS, "2026-11-27T14:00", True),
        (FRIDAYS, "2026-11-28T00:00", False),
        (FRIDAYS, "2026-11-26T15:00", False),
    ],
)
def test_a_freeze_is_for_the_moments_for_which_all_holds_that_it_names(
    freeze: Freeze, moment: str, *, expected: bool
) -> None:
    """Days are whole, the last one too; an hour's end is not in it."""
    assert freeze.holds(utc(moment)) is expected


@pytest.mark.parametrize(
    ("freezes", "now", "opens"),
    [
        ((), "2026-11-28T12:00", "2026-11-28T12:00"),
        ((WEEKEND,), "2026-11-28T12:00", "2026-11-30T00:00"),
        ((WEEKEND, NIGHTS), "2026-11-28T12:00", "2026-11-30T06:00"),
        ((FRIDAYS, WEEKEND, NIGHTS), "2026-11-27T14:30", "2026-11-30T06:00"),
        ((PEAK,), "2026-12-24T12:00", "2027-01-03T00:00"),
        ((PEAK, WEEKEND), "2026-12-24T12:00", "2027-01-04T00:00"),
        ((NIGHTS,), "2026-12-31T23:30", "2027-01-01T06:00"),
    ],
)
def test_it_opens_when_none_holds_any_more(freezes: tuple[Freeze, ...], now: str, opens: str) -> None:
    assert opening(freezes, utc(now)) == utc(opens)


def test_what_is_closed_every_day_never_opens() -> None:
    assert opening((Freeze("for good", days=frozenset(WEEKDAYS)),), utc("2026-11-28T12:00")) is None


@given(st.lists(FREEZES, max_size=3), MOMENTS)
def test_the_time_at_which_it_opens_is_the_first_that_is_free(freezes: list[Freeze], now: datetime) -> None:
    """Nothing holds then, and something does at every moment before."""
    opens = opening(freezes, now)
    if opens is None:
        assert all(at(freezes, now + timedelta(hours=hours)) for hours in range(0, 24 * 400, 7))
        return
    assert at(freezes, opens) is None
    between = (opens - now) / 50
    assert all(at(freezes, now + between * step) for step in range(50) if opens > now)
