"""Versions of checks and rules: what is published stays, what the policy asks for is required."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import FIRST_CHECKS, FIRST_RULES, Attestations, Check, Outcome, Policy, checks_of
from pipeline.stages.gate import holds, requirements
from tests.builders import NOW, certified, passed, policy, rfc3339
from tests.unit.stages.test_gate import CELL, HERE, IMAGE, codes, judge, proof

if TYPE_CHECKING:
    from pipeline.model import Certified, Proof

EVERY = checks_of(CELL)
ALL = Policy()
"""What the matrix says that names no checks."""


def complete(**changes: Any) -> Proof:
    """A record with every check of such a cell, each in its first version."""
    return proof(checks=passed(EVERY), versions=dict.fromkeys(EVERY, 1), **changes)


def of_before(*names: str, **changes: Any) -> Proof:
    """A record of before there were versions, with these checks."""
    return proof(checks=passed(names), suite=f"sha256:{'5' * 64}", **changes)


# -- checks -----------------------------------------------------------------------------------------


def test_a_record_of_its_own_day_counts_whatever_the_versions_of_today_are() -> None:
    assert judge(complete(), policy=ALL).allowed


def test_a_record_of_before_counts_as_the_first_version_of_every_check() -> None:
    assert judge(of_before(*EVERY), policy=ALL).allowed
    assert judge(of_before(*EVERY), policy=replace(ALL, at_least=dict.fromkeys(FIRST_CHECKS, 1))).allowed
    assert codes(judge(of_before(*EVERY), policy=replace(ALL, at_least={"chat": 2}))) == {"old-check"}


@pytest.mark.parametrize("missing", [name for name in EVERY if name in FIRST_CHECKS])
@pytest.mark.parametrize("is_of_before", [True, False])
def test_a_check_of_the_first_day_is_always_required(missing: str, *, is_of_before: bool) -> None:
    """Neither an old record nor one that leaves it out of its versions does without it."""
    rest = [name for name in EVERY if name != missing]
    now = proof(checks=passed(rest), versions=dict.fromkeys(rest, 1))
    decision = judge(of_before(*rest) if is_of_before else now, policy=ALL)
    assert codes(decision) == {"required-missing"}
    assert decision.reasons[0].text.endswith(f"did not pass: {missing}")


def test_a_check_that_came_later_is_required_of_the_records_that_know_it() -> None:
    """Of older ones it is not; and a policy that names it asks it of all."""
    knowing = proof(checks=passed(EVERY), versions=dict.fromkeys((*EVERY, "adapters"), 1))
    assert codes(judge(knowing, policy=ALL)) == {"required-missing"}
    assert judge(complete(), policy=ALL).allowed


def test_a_check_is_compared_with_the_least_that_the_policy_names() -> None:
    newer = {**dict.fromkeys(EVERY, 1), "correct": 3}
    made = proof(checks=passed(EVERY), versions=newer)
    assert judge(made, policy=replace(ALL, at_least={"correct": 3})).allowed
    assert codes(judge(made, policy=replace(ALL, at_least={"correct": 4}))) == {"old-check"}


def test_a_cell_is_not_asked_for_the_version_of_a_check_that_it_cannot_have() -> None:
    """``compile`` is of cells without vLLM."""
    assert judge(complete(), policy=replace(ALL, at_least={"compile": 9})).allowed


def test_an_older_version_does_not_hide_an_older_proof_that_counts() -> None:
    """The proof that decides is one by the versions that are asked for, if there is one."""
    counting = proof(
        checks=passed(EVERY),
        versions=dict.fromkeys(EVERY, 2),
        finished=rfc3339(NOW - timedelta(hours=2)),
    )
    assert judge(complete(), counting, policy=replace(ALL, at_least={"chat": 2})).proof == counting


def test_a_published_image_loses_its_tags_only_where_the_policy_asks_for_more() -> None:
    def held(policy: Policy) -> Proof | None:
        beside = Attestations((complete(),), (certified(),))
        return holds(CELL, IMAGE.ref.digest, HERE, beside, policy=policy, now=NOW)

    assert held(ALL) == complete()
    assert held(replace(ALL, at_least={"serve": 2})) is None
    assert held(replace(ALL, at_least={"jit": 2})) is None


# -- families of rules ------------------------------------------------------------------------------


def judged_by(versions: dict[str, int], **at_least: int) -> set[str]:
    """What is said of a certificate with these versions."""
    found: tuple[Certified, ...] = (certified(versions=versions),)
    return codes(judge(complete(), certificates=found, policy=replace(ALL, at_least=at_least)))


def test_a_certificate_counts_by_the_rules_of_its_day() -> None:
    assert judged_by(dict.fromkeys(FIRST_RULES, 1)) == set()
    assert judged_by({}) == set()


def test_a_certificate_by_older_rules_than_the_policy_asks_for_is_none() -> None:
    """It is made anew by the next build, which costs seconds."""
    assert judged_by({}, jit=2) == {"no-certificate"}
    assert judged_by(dict.fromkeys(FIRST_RULES, 1), jit=2) == {"no-certificate"}
    assert judged_by({**dict.fromkeys(FIRST_RULES, 1), "jit": 2}, jit=2) == set()


@pytest.mark.parametrize("missing", sorted(FIRST_RULES))
def test_a_certificate_that_lacks_a_family_of_the_first_day_is_none(missing: str) -> None:
    """Absence is refusal."""
    assert judged_by({name: 1 for name in FIRST_RULES if name != missing}) == {"no-certificate"}


# -- checks that were not run -----------------------------------------------------------------------


def not_run(name: str) -> Proof:
    """A record in which this check says why it was not run, and all others passed."""
    rest = [check for check in passed(EVERY) if check.name != name]
    left = Check(name=name, outcome=Outcome.NOT_RUN, seconds=0, seen="not here")
    return proof(checks=(*rest, left), versions=dict.fromkeys(EVERY, 1))


def test_a_check_that_was_not_run_is_no_pass() -> None:
    assert codes(judge(not_run("batch"), policy=ALL)) == {"required-missing"}


def test_what_the_policy_leaves_out_of_a_cell_is_not_asked_of_it() -> None:
    ours = replace(ALL, left_out={CELL.id: frozenset({"batch"})})
    others = replace(ALL, left_out={"another": frozenset({"batch"})})
    assert judge(not_run("batch"), policy=ours).allowed
    assert codes(judge(not_run("batch"), policy=others)) == {"required-missing"}


def test_what_may_be_impossible_is_required_where_the_policy_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requirements, "OPTIONAL", frozenset({"batch"}))
    assert judge(not_run("batch"), policy=ALL).allowed
    assert codes(judge(not_run("batch"), policy=policy("batch"))) == {"required-missing"}


def test_a_check_that_may_be_impossible_and_failed_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "OPTIONAL", frozenset({"batch"}))
    rest = [check for check in passed(EVERY) if check.name != "batch"]
    failed = Check(name="batch", outcome=Outcome.FAILED, seconds=0, seen="wrong")
    tried = proof(checks=(*rest, failed), versions=dict.fromkeys(EVERY, 1))
    assert "check-failed" in codes(judge(tried, policy=ALL))
