"""What the gate makes of a user's own tests: their digest, and what became of each."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.model import Attestations, Basis, Decision, Outcome, Policy, Proof, Result
from pipeline.stages.gate import decide, holds
from tests import builders
from tests.builders import CPU_CELL, IMAGE, INPUTS, MODEL, NOW, REPOSITORY, certified, check

TESTS, OTHER = (f"sha256:{digit * 64}" for digit in "12")
TODAY = Basis(MODEL, TESTS)
POLICY = builders.policy("serve")
NAME = "user:test_answers::test_it_greets[de]"


def proof(outcome: Outcome = Outcome.PASSED, **changes: Any) -> Proof:
    """A proof with one test of a user's, of which became this."""
    checks = (check("serve"), check(NAME, outcome))
    return builders.proof(IMAGE, **{"checks": checks, "tests": TESTS, "versions": {"serve": 1}} | changes)


def judge(*proofs: Proof, basis: Basis | None = TODAY, policy: Policy = POLICY) -> Decision:
    beside = Attestations(proofs, (certified(IMAGE),))
    return decide(CPU_CELL, IMAGE, REPOSITORY, beside, policy=policy, basis=basis, inputs=INPUTS, now=NOW)


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


def test_a_proof_by_the_tests_of_today_is_allowed() -> None:
    assert judge(proof()).allowed


@pytest.mark.parametrize("tests", [OTHER, None])
def test_other_tests_or_none_make_a_proof_stale(tests: str | None) -> None:
    """Also where a user takes all of them away: what was proven by them is not what is asked today."""
    assert codes(judge(proof(), basis=Basis(MODEL, tests))) == ["other-tests"]


def test_a_proof_of_before_holds_where_there_are_no_tests_and_not_where_there_are() -> None:
    before = builders.proof(IMAGE)
    assert judge(before, basis=Basis(MODEL)).allowed
    assert codes(judge(before)) == ["other-tests"]


def test_the_proof_by_the_tests_of_today_decides_whatever_is_newer() -> None:
    """One who goes back to the tests of before needs no new proof."""
    newer = proof(tests=OTHER, finished="2030-01-02T03:03:59Z")
    assert judge(proof(), newer).proof == proof()


def test_what_is_published_keeps_its_tags_when_tests_change() -> None:
    beside = Attestations((proof(),), (certified(IMAGE),))
    assert holds(CPU_CELL, IMAGE.ref.digest, REPOSITORY, beside, policy=POLICY, now=NOW) == proof()


def test_a_test_that_failed_refuses_the_image() -> None:
    failed = proof(Outcome.FAILED, result=Result.FAILED)
    assert codes(judge(failed)) == ["not-passed", "check-failed", "required-missing"]


@pytest.mark.parametrize("required", [("serve",), ()])
def test_a_test_that_was_skipped_is_asked_for_whatever_the_policy_requires(
    required: tuple[str, ...],
) -> None:
    """It was not run, and it is the user who wants it."""
    decision = judge(proof(Outcome.NOT_RUN), policy=builders.policy(*required))
    text = next(reason.text for reason in decision.reasons if reason.code == "required-missing")
    assert NAME in text


@pytest.mark.parametrize(
    "left_out", [NAME, "user:test_answers::test_it_greets", "user:test_answers"], ids=["case", "test", "file"]
)
def test_a_test_that_the_matrix_leaves_out_is_not_asked_for(left_out: str) -> None:
    """By the name of its case, of its function, or of its file."""
    policy = builders.policy("serve", left_out={CPU_CELL.id: frozenset({left_out})})
    assert judge(proof(Outcome.NOT_RUN), policy=policy).allowed


@pytest.mark.parametrize("other", ["user:test_answer", "user:test_answers::test_it", "answers", "serve"])
def test_another_name_leaves_no_test_out(other: str) -> None:
    """Not one that only begins as it does."""
    policy = builders.policy("serve", left_out={CPU_CELL.id: frozenset({other})})
    assert codes(judge(proof(Outcome.NOT_RUN), policy=policy)) == ["required-missing"]
