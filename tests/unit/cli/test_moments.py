"""A moment on the command line: a day means its end, and a time has to say its zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pipeline.cli import options
from pipeline.model.errors import UsageError


def test_a_day_is_meant_to_its_end() -> None:
    assert options.moment("2026-11-20") == datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
    assert options.moment("9999-12-31").year == 9999


def test_a_time_is_meant_in_its_zone() -> None:
    assert options.moment("2026-11-20T12:00:00+02:00") == datetime(
        2026, 11, 20, 12, tzinfo=timezone(timedelta(hours=2))
    )


@pytest.mark.parametrize(
    ("text", "what"), [("yesterday", "is no moment"), ("2026-11-20T12:00:00", "no time zone")]
)
def test_what_names_no_moment_is_refused(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        options.moment(text)
