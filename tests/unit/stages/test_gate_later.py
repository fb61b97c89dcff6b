"""Rules that begin on a day: until then older proofs count, and from then on more is asked, never less."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.model import Later
from tests.builders import NOW, REPOSITORY, policy
from tests.unit.stages.deployed_image import GOOD

TODAY, TOMORROW = (f"{NOW + timedelta(days=days):%Y-%m-%d}" for days in (0, 1))
POLICY = policy("serve", repositories={REPOSITORY: "published"}, at_least={"serve": 1})
least = some.dictionaries(some.sampled_from(["serve", "chat", "closure"]), some.integers(1, 3))
rules = some.lists(
    some.builds(
        Later,
        some.sampled_from(["2030-01-01", TODAY, TOMORROW]),
        least,
        some.one_of(some.none(), some.integers(1, 400)),
    ),
    max_size=4,
)


@pytest.mark.parametrize(
    ("since", "code"), [(TODAY, ["old-check"]), (TOMORROW, [])], ids=["today", "not yet"]
)
def test_a_newer_version_is_asked_for_from_its_day_on(since: str, code: list[str]) -> None:
    asked = replace(POLICY, later=(Later(since, {"serve": 2}),))
    assert [reason.code for reason in GOOD.judged(asked).reasons] == code


def test_a_younger_proof_is_asked_for_from_its_day_on() -> None:
    asked = replace(POLICY, later=(Later("2030-01-10", max_age_days=1),))
    assert GOOD.judged(asked, now=NOW + timedelta(days=7)).accepted
    (reason,) = GOOD.judged(asked, now=NOW + timedelta(days=8)).reasons
    assert reason.code == "stale"
    assert "more than 1 days ago" in reason.text


def test_it_begins_at_midnight_utc() -> None:
    asked = replace(POLICY, later=(Later(TODAY, {"serve": 2}),))
    midnight = NOW.replace(hour=0, minute=0, second=0)
    assert asked.as_of(midnight).at_least == {"serve": 2}
    assert asked.as_of(midnight - timedelta(seconds=1)).at_least == {"serve": 1}


@given(least, rules)
def test_it_only_ever_asks_for_more(before: dict[str, int], later: list[Later]) -> None:
    asked = replace(POLICY, at_least=before, later=tuple(later))
    days = [asked.as_of(NOW + timedelta(days=days)) for days in (-5, 0, 1)]
    for earlier, then in pairwise(days):
        assert then.max_age_days <= earlier.max_age_days
        assert all(then.at_least[name] >= version for name, version in earlier.at_least.items())
    assert all(day.at_least.get(name, 0) >= version for day in days for name, version in before.items())


def test_what_is_asked_later_is_in_what_the_policy_is_known_by() -> None:
    asked = replace(POLICY, later=(Later(TOMORROW, {"serve": 2}),))
    assert asked.digest != POLICY.digest
    assert GOOD.judged(asked).policy == asked.digest
