"""A rehearsal: it speaks against an image and never for a tag, and it is not done twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.model import (
    Attestations,
    Basis,
    CellState,
    Decision,
    Goal,
    Outcome,
    Proof,
    Reason,
    ReasonCode,
    Rehearsed,
    Stage,
    State,
    Status,
)
from pipeline.stages import gate, plan
from tests import builders
from tests.builders import CUDA_CELL, HOST, INPUTS, MODEL, NOW, REPOSITORY, certified, check, rehearsed
from tests.unit.stages.planned_cells import CUDA, NO, UNCERTIFIED, YES, decided, observed

IMAGE = builders.image(CUDA_CELL)
GPU = HOST.model_copy(update={"hardware": "sm_90-amd64"})
BROKEN = (check("versions"), check("imports", Outcome.FAILED, expected="it loads", seen="undefined symbol"))
GOOD, BAD = rehearsed(IMAGE), rehearsed(IMAGE, checks=BROKEN, versions={"versions": 1, "imports": 1})


def proof(finished: str = builders.FINISHED) -> Proof:
    """A proof of the image on a GPU."""
    return builders.proof(IMAGE, host=GPU, finished=finished)


# -- the gate ---------------------------------------------------------------------------------------


def judged(*rehearsals: Rehearsed, proofs: tuple[Proof, ...] = ()) -> Decision:
    """What the gate decides of the image with these beside it."""
    beside = Attestations(proofs, (certified(IMAGE),), rehearsals=rehearsals)
    policy = builders.policy("serve")
    return gate.decide(
        CUDA_CELL, IMAGE, REPOSITORY, beside, policy=policy, basis=Basis(MODEL), inputs=INPUTS, now=NOW
    )


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


def test_an_image_with_a_rehearsal_alone_gets_no_tag() -> None:
    """However many of its checks passed."""
    decision = judged(GOOD)
    assert (decision.allowed, codes(decision), decision.rehearsed) == (False, ["no-proof"], GOOD)


def test_a_rehearsal_that_failed_refuses_the_image_and_says_which_check_saw_what() -> None:
    decision = judged(BAD)
    assert codes(decision) == ["rehearsal-failed", "no-proof"]
    (reason, _) = decision.reasons
    assert reason.text == (
        f"{CUDA_CELL.id}: failed without a GPU already, at {builders.FINISHED}: imports: undefined symbol"
    )
    assert reason.hint.endswith(f"python -m pipeline verify --fresh {CUDA_CELL.id} rehearses it again")


@pytest.mark.parametrize(
    ("checks", "versions"),
    [
        ((), {"versions": 1}),
        ((check("versions"),), {"versions": 1, "imports": 1}),
        ((check("versions"), check("imports", Outcome.INCONCLUSIVE)), {"versions": 1, "imports": 1}),
        ((check("versions", Outcome.FAILED), check("versions")), {"versions": 1}),
        ((check("versions"), check("versions")), {"versions": 1}),
    ],
    ids=["no check", "one is missing", "one is inconclusive", "failed and passed", "twice"],
)
def test_whatever_is_no_pass_refuses(checks: tuple[Any, ...], versions: dict[str, int]) -> None:
    assert "rehearsal-failed" in codes(judged(rehearsed(IMAGE, checks=checks, versions=versions)))


@pytest.mark.parametrize(
    ("finished", "allowed"),
    [("2030-01-02T03:03:04Z", False), (builders.FINISHED, False), ("2030-01-02T03:03:06Z", True)],
    ids=["before", "in the same second", "after"],
)
def test_only_a_proof_that_is_newer_outweighs_it(finished: str, allowed: bool) -> None:
    """A real run tried more; one from before the failure did not see what failed."""
    assert judged(BAD, proofs=(proof(finished),)).allowed is allowed


def test_the_newest_rehearsal_counts() -> None:
    later = rehearsed(IMAGE, finished="2030-01-02T03:04:00Z")
    assert codes(judged(BAD, later)) == ["no-proof"]
    worse = replace(BAD, rehearsal=BAD.rehearsal.model_copy(update={"finished": "2030-01-02T03:04:00Z"}))
    assert "rehearsal-failed" in codes(judged(GOOD, worse))


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": builders.CPU_CELL.id},
        {"repository": "127.0.0.1:5000/elsewhere"},
        {"digest": f"sha256:{'e' * 64}"},
    ],
)
def test_what_is_about_something_else_says_nothing(changes: dict[str, str]) -> None:
    other = replace(BAD, rehearsal=BAD.rehearsal.model_copy(update=changes))
    assert (codes(judged(other)), judged(other).rehearsed) == (["no-proof"], None)


# -- the plan ---------------------------------------------------------------------------------------

BUILDING = (Stage.FETCH, Stage.BASE, Stage.BUILD, Stage.CERTIFY)


def here(state: CellState, decision: Decision | None, *, gpu: bool = False) -> CellState:
    """The state as a machine sees it that can rehearse, and with a GPU prove."""
    why = "" if gpu else "needs a GPU"
    return replace(decided(state, decision, cannot_prove=why, channels=()), can_rehearse=True)


UNBUILT = here(observed(CUDA, image=None), None)
BUILT = here(observed(CUDA), NO)
DONE = here(observed(CUDA), replace(NO, rehearsed=GOOD))
FAILED = Decision((Reason(ReasonCode.REHEARSAL_FAILED, "imports", "mend it"), *NO.reasons), rehearsed=BAD)
OLD = rehearsed(IMAGE, versions={"versions": 1}, checks=(check("versions"),))
TODAYS = replace(
    FAILED,
    rehearsed=rehearsed(IMAGE, checks=tuple(check(name, Outcome.FAILED) for name in GOOD.rehearsal.versions)),
)


@pytest.mark.parametrize(
    ("state", "goal", "expected"),
    [
        (UNBUILT, Goal.BUILD, (*BUILDING, Stage.REHEARSE)),
        (UNBUILT, Goal.VERIFY, ()),
        (BUILT, Goal.BUILD, (Stage.REHEARSE,)),
        (BUILT, Goal.VERIFY, (Stage.REHEARSE,)),
        (BUILT, Goal.PLAN, ()),
        (here(observed(CUDA), UNCERTIFIED), Goal.VERIFY, (Stage.CERTIFY,)),
        (DONE, Goal.BUILD, ()),
        (DONE, Goal.VERIFY, ()),
        (here(observed(CUDA), replace(NO, rehearsed=OLD)), Goal.VERIFY, (Stage.REHEARSE,)),
        (here(observed(CUDA), TODAYS), Goal.VERIFY, ()),
        (here(observed(CUDA), FAILED), Goal.VERIFY, (Stage.REHEARSE,)),
        (here(observed(CUDA), YES), Goal.VERIFY, ()),
        (replace(BUILT, can_rehearse=False), Goal.VERIFY, ()),
        (here(observed(CUDA), NO, gpu=True), Goal.BUILD, ()),
        (here(observed(CUDA), NO, gpu=True), Goal.VERIFY, (Stage.VERIFY,)),
        (here(observed(CUDA), TODAYS, gpu=True), Goal.VERIFY, ()),
    ],
)
def test_what_this_machine_cannot_prove_it_rehearses_once(
    state: CellState, goal: Goal, expected: tuple[Stage, ...]
) -> None:
    """Where it is not there it is built by build alone; what was refused takes no time of a GPU."""
    assert plan.stages(state, goal) == expected


@pytest.mark.parametrize(
    ("state", "goal", "expected"),
    [
        (DONE, Goal.VERIFY, (Stage.REHEARSE,)),
        (DONE, Goal.BUILD, (Stage.REHEARSE,)),
        (here(observed(CUDA), YES), Goal.VERIFY, (Stage.REHEARSE,)),
        (here(observed(CUDA), YES, gpu=True), Goal.VERIFY, (Stage.VERIFY,)),
        (replace(here(observed(CUDA), YES), can_rehearse=False), Goal.VERIFY, ()),
        (here(observed(CUDA), TODAYS), Goal.VERIFY, (Stage.REHEARSE,)),
        (here(observed(CUDA), TODAYS, gpu=True), Goal.VERIFY, (Stage.REHEARSE,)),
    ],
)
def test_asked_to_it_rehearses_again(state: CellState, goal: Goal, expected: tuple[Stage, ...]) -> None:
    """A machine that can prove an image rehearses it only to be rid of a rehearsal that failed."""
    assert plan.stages(state, goal, fresh=True) == expected


def test_a_rehearsed_image_waits_for_a_gpu_and_says_how_much_was_seen() -> None:
    status = plan.status(DONE)
    assert (status.state, status.waiting) == (State.UNPROVEN, "needs a GPU (rehearsed 5/5)")
    assert plan.status(BUILT).waiting == "needs a GPU"


@pytest.mark.parametrize("gpu", [False, True])
def test_a_refused_image_has_failed_and_waits_for_nothing(gpu: bool) -> None:
    status = plan.status(here(observed(CUDA), TODAYS, gpu=gpu))
    assert (status.state, status.waiting, status.steps) == (State.FAILED, "", ())
    assert status.rehearsal == TODAYS.rehearsed.rehearsal if TODAYS.rehearsed else False


# -- jobs of a workflow -----------------------------------------------------------------------------

ARM = replace(CUDA_CELL, platform="linux/arm64")


@pytest.mark.parametrize(
    ("state", "is_worth_it"),
    [
        (UNBUILT, False),
        (BUILT, False),
        (DONE, True),
        (here(observed(CUDA), replace(NO, rehearsed=OLD)), False),
        (here(observed(CUDA), TODAYS), False),
        (here(observed(CUDA), YES), True),
        (here(observed(CUDA), NO, gpu=True), False),
        (observed(builders.CPU_CELL), False),
    ],
)
def test_a_gpu_is_taken_only_for_an_image_that_was_rehearsed(state: CellState, is_worth_it: bool) -> None:
    """Or that is proven, and has only to get its tags."""
    rows = plan.github([plan.status(state)], "prove")["include"]
    assert [row["runner"] for row in rows] == ([["self-hosted", "gpu"]] if is_worth_it else [])


def test_every_image_is_built_on_a_machine_without_a_gpu() -> None:
    cells = (builders.CPU_CELL, CUDA_CELL, ARM)
    rows = plan.github([Status(cell, State.UNBUILT) for cell in cells], "build")["include"]
    assert [row["runner"] for row in rows] == ["ubuntu-latest", "ubuntu-latest", "ubuntu-24.04-arm"]
