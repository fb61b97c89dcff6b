"""A publication in a freeze is refused with the reason that was written, and the time when that ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from pipeline.model import Freeze, ReasonCode
from pipeline.stages.publish import frozen
from tests.builders import CPU_CELL

WEEKEND = Freeze("nobody is on call", days=frozenset({"sat", "sun"}))
SATURDAY = datetime(2026, 11, 28, 12, tzinfo=UTC)


def test_a_cell_is_refused_with_the_reason_and_the_time_at_which_it_opens() -> None:
    reason = frozen(CPU_CELL, (WEEKEND,), SATURDAY)
    assert reason
    assert reason.code is ReasonCode.FROZEN
    text = "`publish: freeze:` gives no tag now, until 2026-11-30 00:00 UTC: nobody is on call"
    assert reason.text == f"{CPU_CELL.id}: {text}"
    assert f"python -m pipeline publish {CPU_CELL.id}" in reason.hint
    assert "yank" in reason.hint


def test_the_time_is_utcs_wherever_the_machine_stands() -> None:
    """In Auckland it is Saturday already, in UTC it is Friday still."""
    auckland = timezone(timedelta(hours=13))
    assert frozen(CPU_CELL, (WEEKEND,), datetime(2026, 11, 28, 9, tzinfo=auckland)) is None
    assert frozen(CPU_CELL, (WEEKEND,), datetime(2026, 11, 30, 9, tzinfo=auckland))


def test_outside_of_a_freeze_nothing_is_refused() -> None:
    assert frozen(CPU_CELL, (WEEKEND,), SATURDAY - timedelta(days=1)) is None
    assert frozen(CPU_CELL, (), SATURDAY) is None


def test_a_freeze_without_an_end_says_so() -> None:
    every = Freeze("we are closed", days=frozenset(("mon", "tue", "wed", "thu", "fri", "sat", "sun")))
    reason = frozen(CPU_CELL, (every,), SATURDAY)
    assert reason
    assert "for good: we are closed" in reason.text
    assert "take the rule out of matrix.yaml" in reason.hint
