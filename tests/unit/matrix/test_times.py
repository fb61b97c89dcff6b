"""Rules about time: how old wheels have to be, and when no tag is given."""

from __future__ import annotations

from datetime import date
from datetime import time as clock
from typing import TYPE_CHECKING

import pytest

from pipeline.model import Cooldown, Freeze, JustifiedRequirement
from pipeline.model.errors import UsageError
from pipeline.stages import lock
from tests.unit.matrix.test_cells import load

if TYPE_CHECKING:
    from pathlib import Path


def test_a_cooldown_is_for_every_cell_with_its_exceptions_and_makes_no_lock_old(tmp_path: Path) -> None:
    """Its exceptions name packages as indexes do, by globs too."""
    rule = "{packages: [Typing_Extensions, 'nvidia_*'], reason: r}"
    found = load(tmp_path, f"lock: {{cooldown: 7, exceptions: [{rule}]}}").specs
    exceptions = (JustifiedRequirement("typing-extensions", "r"), JustifiedRequirement("nvidia-*", "r"))
    assert {spec.cooldown for spec in found} == {Cooldown(7, exceptions)}
    without = load(tmp_path).specs
    assert {spec.cooldown for spec in without} == {None}
    assert [lock.inputs_of(spec) for spec in found] == [lock.inputs_of(spec) for spec in without]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("{cooldown: 0}", "correct the value"),
        ("{exceptions: []}", "add `cooldown: 7`, in days"),
        ("{cooldown: 7, exceptions: [{packages: [six]}]}", "which says why they cannot wait"),
        ("{cooldown: 7, exceptions: [{packages: ['six==1'], reason: r}]}", 'write it like "nvidia-*"'),
    ],
)
def test_a_cooldown_that_is_none_is_refused_with_the_remedy(written: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, f"lock: {written}")
    assert hint in f"{caught.value.what} {caught.value.hint}"


def test_a_freeze_is_what_its_entry_names(tmp_path: Path) -> None:
    written = "{days: [fri, sat], from: '2026-12-20', until: '2027-01-02', hours: '18:00-06:00', reason: r}"
    found = load(tmp_path, publish=f", freeze: [{written}, {{days: [sun], reason: s}}]")
    days = date(2026, 12, 20), date(2027, 1, 2)
    whole = Freeze("r", frozenset({"fri", "sat"}), *days, (clock(18), clock(6)))
    assert found.freezes == (whole, Freeze("s", frozenset({"sun"})))


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("reason: r", "a freeze without a time"),
        ("days: [saturday], reason: r", "'sat'"),
        ("hours: '18:00-18:00', reason: r", 'write it like "18:00-06:00", in UTC'),
        ("hours: '6-18', reason: r", "is no span of hours"),
        ("from: '2027-01-02', until: '2026-12-20', reason: r", "exchange the two days"),
        ("days: [sat]", "which says why no tag is given then"),
    ],
)
def test_a_freeze_that_is_none_is_refused_with_the_remedy(written: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, publish=f", freeze: [{{{written}}}]")
    assert words in f"{caught.value.what} {caught.value.hint}"
