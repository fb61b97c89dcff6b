"""The gate on speed: an image may be slower than the one whose channel it takes by what the policy allows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import Attestations, Basis, Decision, Digest, Image, Outcome, Proof, Result
from pipeline.model.speeds import FIRST_TOKEN, RATE_ALONE, RATE_TOGETHER, Speed
from pipeline.stages.gate import decide
from tests import builders
from tests.builders import CPU_CELL, IMAGE, INPUTS, MODEL, NOW, REPOSITORY, certified, check

if TYPE_CHECKING:
    from collections.abc import Mapping

OTHER = replace(IMAGE, ref=REPOSITORY.at(Digest.of(b"before")))
FACTS = {FIRST_TOKEN: 0.1, RATE_ALONE: 100.0, RATE_TOGETHER: 800.0}


def proof(of: Image = IMAGE, outcome: Outcome = Outcome.PASSED, **changes: Any) -> Proof:
    """A proof whose server had these medians, by name; those of ``FACTS`` unless others are given."""
    medians: Mapping[str, float] = changes.pop("medians", FACTS)
    facts = {name: str(Speed(value, value, value, 9)) for name, value in medians.items()}
    measured = check("speed", outcome, facts=facts)
    return builders.proof(of, **{"checks": (check("serve"), measured), **changes})


def judge(now: Proof, *before: Proof, ratio: float | None = 1.5) -> Decision:
    return decide(
        CPU_CELL,
        IMAGE,
        REPOSITORY,
        Attestations((now,), (certified(IMAGE),)),
        policy=builders.policy("serve"),
        basis=Basis(MODEL),
        inputs=INPUTS,
        now=NOW,
        before=before,
        speed_ratio=ratio,
    )


@pytest.mark.parametrize(
    ("name", "value", "times"),
    [(FIRST_TOKEN, 0.2, "2.00"), (RATE_ALONE, 50.0, "2.00"), (RATE_TOGETHER, 500.0, "1.60")],
)
def test_an_image_that_is_slower_than_allowed_is_refused_with_both_figures(
    name: str, value: float, times: str
) -> None:
    (reason,) = judge(proof(medians=FACTS | {name: value}), proof(OTHER)).reasons
    was = f"{FACTS[name]:.4f} ({FACTS[name]:.4f} to {FACTS[name]:.4f} in 9)"
    now = f"{value:.4f} ({value:.4f} to {value:.4f} in 9)"
    assert reason.code == "slower"
    assert reason.text == (
        f"{CPU_CELL.id}: {name} is {now}, in {OTHER.ref.digest} it was {was}: at least {times} times slower, "
        "`verify: speed:` allows 1.5"
    )
    assert reason.hint.startswith(f"python -m pipeline verify {CPU_CELL.id} --fresh measures it again")


@pytest.mark.parametrize("value", [0.15, 0.1, 0.01])
def test_an_image_that_is_as_fast_or_slower_by_what_is_allowed_is_not(value: float) -> None:
    assert judge(proof(medians=FACTS | {FIRST_TOKEN: value}), proof(OTHER)).allowed


def test_nothing_is_compared_unless_the_policy_says_so() -> None:
    slow = proof(medians={FIRST_TOKEN: 9.0})
    assert judge(slow, proof(OTHER), ratio=None).allowed


def test_without_an_image_before_nothing_is_compared() -> None:
    assert judge(proof(medians=FACTS | {FIRST_TOKEN: 9.0})).allowed


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": "vllm0.31.0-torch2.13.0-cpu-py3.11"},
        {"result": Result.FAILED},
        {"host": builders.HOST.model_copy(update={"cpu": "another one"})},
        {"host": builders.HOST.model_copy(update={"gpus": ("one",)})},
        {"host": builders.HOST.model_copy(update={"hardware": "cpu-aarch64"})},
    ],
    ids=["of another cell", "that failed", "on another processor", "on a GPU", "on another machine"],
)
def test_a_record_is_not_compared(changes: dict[str, Any]) -> None:
    assert judge(proof(medians=FACTS | {FIRST_TOKEN: 9.0}), proof(OTHER, **changes)).allowed


def test_an_image_is_not_compared_with_itself() -> None:
    assert judge(proof(medians=FACTS | {FIRST_TOKEN: 9.0}), proof(IMAGE)).allowed


def test_the_newest_record_before_is_the_one_that_counts() -> None:
    slow = proof(OTHER, medians=FACTS | {FIRST_TOKEN: 0.2}, attempt=2)
    now = proof(medians=FACTS | {FIRST_TOKEN: 0.2})
    assert judge(now, proof(OTHER), slow).allowed
    assert judge(now, slow, proof(OTHER)).allowed
    assert not judge(now, replace_attempt(slow, 1), proof(OTHER, attempt=2)).allowed


def replace_attempt(proof_: Proof, attempt: int) -> Proof:
    return replace(proof_, record=proof_.record.model_copy(update={"attempt": attempt}))


def test_what_was_measured_before_and_is_not_any_more_is_refused() -> None:
    rates = {RATE_ALONE: 100.0, RATE_TOGETHER: 800.0}
    for now in (proof(medians=rates), proof(outcome=Outcome.INCONCLUSIVE)):
        reasons = [reason for reason in judge(now, proof(OTHER)).reasons if reason.code == "slower"]
        assert reasons
        assert reasons[0].text.startswith(f"{CPU_CELL.id}: {FIRST_TOKEN} was not measured; it was 0.1000 (")


def test_what_was_not_measured_before_is_not_compared() -> None:
    assert judge(proof(), proof(OTHER, medians={})).allowed
