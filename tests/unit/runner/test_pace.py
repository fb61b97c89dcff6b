"""Whoever watches a proof sees how far it is, and about how long it still takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.model import Outcome
from pipeline.runner import pace
from pipeline.runner.pace import Pace
from tests.builders import check

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("versions", "serve", "chat")


def test_it_counts_and_adds_up_what_is_left_by_the_last_time() -> None:
    told = Pace(NAMES, {"versions": 1.0, "serve": 40.0, "chat": 31.0})
    assert [told.after(name) for name in NAMES] == [
        "versions (1 of 3 checks, about 70 s left)",
        "serve (2 of 3 checks, about 30 s left)",
        "chat (3 of 3 checks)",
    ]


def test_without_a_last_time_it_only_counts() -> None:
    assert Pace(NAMES, {}).after("versions") == "versions (1 of 3 checks)"


def test_what_takes_long_is_told_in_minutes() -> None:
    assert Pace(NAMES, {"serve": 400.0}).after("versions").endswith("about 7 min left)")


def test_what_a_check_took_is_remembered_until_it_runs_again(tmp_path: Path) -> None:
    """One that was not run took nothing that says what it would take."""
    file = tmp_path / "cell.json"
    pace.remember(file, [check("serve", seconds=40.0), check("chat", seconds=2.0)])
    pace.remember(file, [check("serve", seconds=50.0), check("chat", Outcome.NOT_RUN, seconds=0.0)])
    assert pace.last(file) == {"serve": 50.0, "chat": 2.0}


@pytest.mark.parametrize("text", ["", "{}", '{"seconds": {"serve": -1}}', '{"seconds": {"serve": "x"}}'])
def test_a_file_that_is_not_ours_says_nothing(text: str, tmp_path: Path) -> None:
    file = tmp_path / "cell.json"
    assert pace.last(file) == {}
    file.write_text(text)
    assert pace.last(file) == {}
