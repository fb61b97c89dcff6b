"""The plan: which state a cell is in, why, and what is left to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.model import (
    Attestations,
    CellState,
    Decision,
    Outcome,
    Pruned,
    Reason,
    ReasonCode,
    Result,
    Stage,
    State,
    Verdict,
)
from pipeline.report import planned
from pipeline.stages import plan
from tests.unit.stages.planned_cells import (
    BAD,
    CPU,
    CUDA,
    FAILED,
    IMMUTABLE,
    LAST,
    NO,
    ODD,
    ON_A_CPU,
    OTHER,
    OURS,
    PINNED,
    UNCERTIFIED,
    UNCLEAR,
    YES,
    decided,
    image,
    observed,
    proof,
    status,
    tags,
)


def refused(*codes: ReasonCode) -> Decision:
    return Decision(tuple(Reason(code, code.meaning, "read it") for code in codes))


@pytest.mark.parametrize(
    ("seen", "decision", "state", "steps"),
    [
        (observed(lock=None, image=None), None, State.UNLOCKED, ON_A_CPU),
        (observed(image=None), None, State.UNBUILT, ON_A_CPU[1:]),
        (observed(), None, State.UNPROVEN, LAST),
        (observed(), NO, State.UNPROVEN, LAST),
        (observed(proofs=(proof(),)), None, State.UNPROVEN, LAST),
        (observed(proofs=(proof(),)), NO, State.UNPROVEN, LAST),
        (observed(proofs=(proof(),)), refused(ReasonCode.YANKED), State.FAILED, ()),
        (observed(proofs=(proof(),)), refused(ReasonCode.MOVED_BACK), State.UNPROVEN, ()),
        (observed(), refused(ReasonCode.SUPPORT_ENDED, ReasonCode.NO_PROOF), State.UNPROVEN, ()),
        (observed(proofs=(FAILED,)), NO, State.FAILED, LAST),
        (observed(proofs=(UNCLEAR,)), NO, State.INCONCLUSIVE, LAST),
        (observed(proofs=(proof(),)), YES, State.PROVEN, (Stage.PUBLISH,)),
        (observed(tags=tags(IMMUTABLE, CPU.id)), YES, State.PROVEN, (Stage.PUBLISH,)),
        (observed(tags=tags(CPU.id, "cpu")), YES, State.PROVEN, (Stage.PUBLISH,)),
        (observed(tags=tags(IMMUTABLE, CPU.id, "cpu", digest=OTHER)), YES, State.PROVEN, (Stage.PUBLISH,)),
        (observed(tags=tags(IMMUTABLE, CPU.id, "cpu")), YES, State.PUBLISHED, ()),
        (observed(tags=tags(IMMUTABLE, CPU.id, "cpu")), NO, State.UNPROVEN, LAST),
        (observed(tags=tags(IMMUTABLE, CPU.id, "cpu")), None, State.UNPROVEN, LAST),
        (observed(), Decision(()), State.UNPROVEN, LAST),
    ],
)
def test_the_state_says_how_far_a_cell_has_come(
    seen: CellState, decision: Decision | None, state: State, steps: tuple[Stage, ...]
) -> None:
    """Each state has its steps; tags without a proof are worth nothing."""
    found = status(seen, decision)
    assert (found.state, found.steps) == (state, steps)


@pytest.mark.parametrize(
    ("decision", "state", "steps"),
    [
        (UNCERTIFIED, State.UNPROVEN, (Stage.CERTIFY, Stage.PUBLISH)),
        (
            replace(UNCERTIFIED, reasons=(*UNCERTIFIED.reasons, *NO.reasons)),
            State.UNPROVEN,
            (Stage.CERTIFY, Stage.VERIFY, Stage.PUBLISH),
        ),
        (
            Decision((Reason(ReasonCode.CERTIFICATE_REFUSED, "closure", "install it"),), proof()),
            State.FAILED,
            (),
        ),
    ],
)
def test_an_image_may_lack_its_certificate_or_be_refused_by_it(
    decision: Decision, state: State, steps: tuple[Stage, ...]
) -> None:
    """A good record does not stand in for it, and what it refuses has failed."""
    found = status(observed(proofs=(proof(),)), decision)
    assert (found.state, found.steps) == (state, steps)


def test_the_newest_record_of_this_very_image_counts() -> None:
    """Not an older one, and not that of another digest."""
    later = proof(Outcome.FAILED, Result.FAILED, finished="2026-11-21T10:00:00Z")
    other = proof(Outcome.FAILED, Result.FAILED, digest=OTHER, finished="2026-11-22T10:00:00Z")
    assert status(observed(proofs=(later, proof())), NO).state is State.FAILED
    assert status(observed(proofs=(proof(), other)), NO).record == proof().record
    assert status(observed(proofs=(other,)), NO).record is None


ALL = tags(IMMUTABLE, CPU.id, "cpu")
UNLISTED = Attestations((proof(),), unlisted=(OURS,))


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({}, NO),
        ({"published": Attestations()}, YES),
        ({"published": UNLISTED}, YES),
        ({"is_complete": False}, YES),
        ({"is_signed": False}, YES),
    ],
    ids=[
        "refused by the gate",
        "a statement is not there",
        "a list lacks one",
        "a layer is gone",
        "it is not signed plainly",
    ],
)
def test_tags_alone_do_not_make_an_image_published(changes: dict[str, Any], there: Decision) -> None:
    """Published is what the destination's own evidence says; else there is something left to publish."""
    assert status(observed(proofs=(proof(),), tags=ALL), YES).state is State.PUBLISHED
    found = status(observed(proofs=(proof(),), tags=ALL, **changes), YES, published_decision=there)
    assert (found.state, found.steps) == (State.PROVEN, (Stage.PUBLISH,))


def test_tags_on_an_image_that_may_carry_none_are_told_with_the_way_to_withdraw_them() -> None:
    """It failed again, or its proof is too old: whoever pulls the tags should not."""
    found = status(observed(proofs=(FAILED,), tags=ALL), NO)
    assert (found.state, found.tags) == (State.FAILED, tuple(sorted(tag for tag, _ in ALL)))
    (_, reason) = found.reasons
    assert (reason.code, NO.reasons[0].text in reason.text) == ("still-tagged", True)
    assert reason.hint.startswith(f"python -m pipeline repair {CPU.id}")


def test_a_published_image_may_keep_its_tags_while_todays_inputs_ask_for_another() -> None:
    """A stricter policy is a reason to try it again, none to take its tags away."""
    found = status(observed(proofs=(proof(),), tags=ALL), NO, published_decision=NO, keeps_tags=True)
    assert (found.state, found.reasons) == (State.UNPROVEN, NO.reasons)


def test_a_newer_proof_of_a_published_image_is_left_to_publish_and_no_alarm() -> None:
    """Tried again by today's suite; what lies in the destination still holds its tags until then."""
    found = status(observed(proofs=(proof(),), tags=ALL), YES, published_decision=NO, keeps_tags=True)
    assert (found.state, found.steps, found.reasons) == (State.PROVEN, (Stage.PUBLISH,), ())


def test_evidence_that_the_destination_lacks_is_brought_by_publishing() -> None:
    """The image is proven, and what lies beside it there does not say so."""
    (reason,) = status(observed(proofs=(proof(),), tags=ALL), YES, published_decision=NO).reasons
    assert (reason.code, f"publish {CPU.id}" in reason.hint) == ("evidence-lacking", True)


def test_an_immutable_tag_that_was_moved_is_told_with_what_moves_it_back() -> None:
    """A plan that said no more than "next: publish" would say so for ever."""
    (reason,) = status(observed(proofs=(proof(),), tags=tags(IMMUTABLE, digest=OTHER)), YES).reasons
    assert (reason.code, str(OTHER) in reason.text) == ("tag-moved", True)
    assert f"repair {CPU.id}" in reason.hint


def test_what_lies_beside_an_image_and_counts_for_nothing_is_told() -> None:
    """With the reason, in the row and in the text of the plan."""
    strange = Reason(ReasonCode.RECORD_UNTRUSTED, "signed by 1234", "trust it")
    found = status(observed(), replace(NO, rejected=(strange,)))
    assert found.reasons == (*NO.reasons, strange)
    assert "signed by 1234\nhint: trust it" in planned.text_of([found])


def test_a_refusal_keeps_its_reasons() -> None:
    """They are dropped only where the gate allowed the image."""
    assert status(observed(proofs=(FAILED,)), NO).reasons == NO.reasons
    assert status(observed(), YES).reasons == ()


@pytest.mark.parametrize(
    ("seen", "decision", "pending"),
    [
        (observed(CUDA, lock=None, image=None), None, "needs a GPU"),
        (observed(CUDA), None, "needs a GPU"),
        (observed(CUDA, proofs=(FAILED,)), NO, "needs a GPU"),
        (observed(CUDA), YES, ""),
    ],
)
def test_what_cannot_be_verified_here_is_pending_and_never_proven(
    seen: CellState, decision: Decision | None, pending: str
) -> None:
    """Only where verifying is still to do: a proof from another machine is as good."""
    found = status(seen, decision, cannot_prove="needs a GPU", channels=())
    assert found.pending == pending
    assert (found.state in {State.PROVEN, State.PUBLISHED}) is (not pending)
    assert (Stage.VERIFY in found.steps) is bool(pending)


def test_a_machine_that_can_prove_a_cell_leaves_nothing_pending() -> None:
    assert status(observed(), None, channels=()).pending == ""


def test_only_tags_of_this_image_are_told() -> None:
    """A tag that carries another digest is not this image's."""
    seen = observed(tags=(*tags("b", "a"), *tags("c", digest=OTHER)))
    assert status(seen, YES).tags == ("a", "b")


# -- cells that are left out ------------------------------------------------------------------------


def test_a_cell_that_cannot_exist_keeps_every_reason_and_has_nothing_to_do() -> None:
    found = plan.left_out(BAD)
    assert (found.state, found.steps) == (State.IMPOSSIBLE, ())
    assert found.reasons == (Reason(ReasonCode.PIN, PINNED.text, "take it"),)


def test_a_cell_that_is_excluded_has_the_reason_of_the_exclude() -> None:
    found = plan.left_out(Pruned(ODD, excluded="never released"))
    assert [(one.code, one.text) for one in found.reasons] == [("excluded", "never released")]


# -- word for word ---------------------------------------------------------------------------------------


def test_the_record_that_the_gate_accepted_is_told_and_the_image_with_it() -> None:
    """Not a newer one that it did not choose."""
    newer = proof(finished="2026-11-21T10:00:00Z")
    accepted, verdict = proof(), Verdict(())
    found = plan.status(
        decided(observed(proofs=(newer, accepted)), Decision((), accepted), channels=()), verdict
    )
    assert (found.record, found.image) == (accepted.record, image())
    assert found.verdict is verdict


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (None, "nothing is known of it there"),
        (Decision((Reason(ReasonCode.STALE, "one", ""), Reason(ReasonCode.FLAKY, "two", ""))), "one; two"),
    ],
)
def test_tags_without_evidence_are_told_with_what_brings_it(there: Decision | None, why: str) -> None:
    found = plan.status(
        replace(
            decided(
                observed(proofs=(proof(),), tags=((CPU.id, OURS), ("cpu", OURS))),
                Decision((), proof()),
                channels=(),
            ),
            published_decision=there,
        )
    )
    text = f"{CPU.id}: tagged cpu, {CPU.id}, without evidence beside {OURS} that allows it: {why}"
    hint = f"python -m pipeline publish {CPU.id} brings it there again"
    assert found.reasons == (Reason(ReasonCode.EVIDENCE_LACKING, text, hint),)
