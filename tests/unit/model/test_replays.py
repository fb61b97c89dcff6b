"""A record that was tried again is the same where each of its checks ends as it did then."""

from __future__ import annotations

import pytest

from pipeline.model import Outcome, replayed
from pipeline.report.replayed import text_of
from tests.builders import check

BEFORE = (check("serve"), check("chat", Outcome.FAILED, expected="a", seen="b"))


def test_a_failure_that_comes_again_is_the_same() -> None:
    replay = replayed("sha256:a", BEFORE, BEFORE)
    assert replay.is_same
    assert replay.has(Outcome.FAILED)
    assert text_of(replay).endswith("the same outcome\n")


def test_one_that_does_not_come_again_is_not() -> None:
    replay = replayed("sha256:a", BEFORE, (check("serve"), check("chat")))
    assert not replay.is_same
    text = text_of(replay)
    assert "chat   failed -> passed  DIFFERS" in text
    assert text.endswith("another outcome: chat\n")


def test_what_the_suite_of_today_lacks_differs_and_what_the_record_lacks_does_not() -> None:
    lacking = replayed("sha256:a", BEFORE, BEFORE[:1])
    assert [one.name for one in lacking.checks if one.differs] == ["chat"]
    assert "not in this suite" in text_of(lacking)
    added = replayed("sha256:a", BEFORE, (*BEFORE, check("new")))
    assert added.is_same
    assert "new    not in the record -> passed" in text_of(added)


@pytest.mark.parametrize("outcome", [Outcome.NOT_RUN, Outcome.INCONCLUSIVE])
def test_what_was_not_seen_again_is_not_the_same(outcome: Outcome) -> None:
    assert not replayed("sha256:a", BEFORE, (check("serve", outcome), BEFORE[1])).is_same
