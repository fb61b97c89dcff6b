"""The plan: which state a cell is in, what is left to do, and the rows that GitHub gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.model import (
    Attestations,
    Budget,
    Cell,
    CellState,
    Decision,
    Digest,
    Estimate,
    Finding,
    Goal,
    Image,
    Level,
    Lock,
    Outcome,
    Pin,
    Proof,
    Pruned,
    Reason,
    ReasonCode,
    Result,
    Stage,
    State,
    Status,
    Verdict,
)
from pipeline.report import planned
from pipeline.stages import build, plan
from tests import builders
from tests.builders import CPU_CELL, CUDA_CELL, check, spec

CPU, CUDA = CPU_CELL, CUDA_CELL
OURS, OTHER = Digest.of(b"ours"), Digest.of(b"other")
KEY = "0123456789ab" + "0" * 52
NO = Decision((Reason(ReasonCode.STALE, "the record is too old", "verify again"),))


def image(cell: Cell = CPU) -> Image:
    """The image of this cell in staging."""
    return builders.image(cell, digest=str(OURS), build_key=KEY, lock=str(OURS))


def proof(
    outcome: Outcome = Outcome.PASSED,
    result: Result = Result.PASSED,
    digest: Digest = OURS,
    finished: str = "2026-11-20T10:00:00Z",
) -> Proof:
    """A signed record of one check."""
    record = builders.record(
        image(),
        digest=str(digest),
        finished=finished,
        checks=(check("serve", outcome),),
        result=result,
    )
    return Proof(record, "key", OURS)


def observed(cell: Cell = CPU, proofs: tuple[Proof, ...] = (), **changes: Any) -> CellState:
    """A cell with a lock and an image, whose proofs lie in the destination too, and these changes."""
    attestations = Attestations(proofs)
    found: dict[str, Any] = {
        "lock": Lock(cell, ()),
        "image": image(cell),
        "attestations": attestations,
        "published": attestations,
        "is_complete": True,
        **changes,
    }
    return CellState(spec(cell), **found)


def decided(
    state: CellState,
    decision: Decision | None = None,
    *,
    cannot_prove: str = "",
    channels: tuple[str, ...] = (CPU.id, "cpu"),
    published_decision: Decision | None = None,
    keeps_tags: bool = False,
) -> CellState:
    """The same state with the gate's decisions; of the destination it says what it says of staging."""
    return replace(
        state,
        decision=decision,
        cannot_prove=cannot_prove,
        channels=channels,
        published_decision=published_decision or (decision if state.carried else None),
        keeps_tags=keeps_tags,
    )


def status(state: CellState, decision: Decision | None = None, **changes: Any) -> Status:
    """The row of what was observed."""
    return plan.status(decided(state, decision, **changes))


def tags(*names: str, digest: Digest = OURS) -> tuple[tuple[str, Digest], ...]:
    """Tags that carry a digest."""
    return tuple((name, digest) for name in names)


IMMUTABLE = f"{CPU.id}-0123456789ab"
FAILED = proof(Outcome.FAILED, Result.FAILED)
UNCLEAR = proof(Outcome.INCONCLUSIVE, Result.FAILED)
YES = Decision((), proof())
LAST = (Stage.VERIFY, Stage.PUBLISH)


@pytest.mark.parametrize(
    ("seen", "decision", "state", "steps"),
    [
        (observed(lock=None, image=None), None, State.UNLOCKED, tuple(Stage)),
        (observed(image=None), None, State.UNBUILT, tuple(Stage)[1:]),
        (observed(), None, State.UNPROVEN, LAST),
        (observed(), NO, State.UNPROVEN, LAST),
        (observed(proofs=(proof(),)), None, State.UNPROVEN, LAST),
        (observed(proofs=(proof(),)), NO, State.UNPROVEN, LAST),
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


UNCERTIFIED = Decision((Reason(ReasonCode.NO_CERTIFICATE, "none", "build it"),), proof())


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
    ],
    ids=["refused by the gate", "a statement is not there", "a list lacks one", "a layer is gone"],
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


# -- what a command takes on ------------------------------------------------------------------------

BUILDING = (Stage.FETCH, Stage.BASE, Stage.BUILD, Stage.CERTIFY)
REFUSED = Decision((Reason(ReasonCode.CERTIFICATE_REFUSED, "closure", "install it"),))
PUBLISHED = decided(observed(tags=tags(IMMUTABLE, CPU.id, "cpu")), YES)
UNBUILT = decided(observed(image=None))


@pytest.mark.parametrize(
    ("state", "command", "expected"),
    [
        (UNBUILT, Goal.PLAN, ()),
        (UNBUILT, Goal.REPORT, ()),
        (UNBUILT, Goal.BUILD, BUILDING),
        (UNBUILT, Goal.VERIFY, (*BUILDING, Stage.VERIFY)),
        (replace(UNBUILT, base=image().ref), Goal.BUILD, (Stage.FETCH, Stage.BUILD, Stage.CERTIFY)),
        (decided(observed(), NO), Goal.BUILD, ()),
        (decided(observed(), UNCERTIFIED), Goal.BUILD, (Stage.CERTIFY,)),
        (decided(observed(), NO), Goal.VERIFY, (Stage.VERIFY,)),
        (decided(observed(), REFUSED), Goal.VERIFY, ()),
        (decided(observed(), NO), Goal.PUBLISH, (Stage.PUBLISH,)),
        (decided(observed(), YES), Goal.PUBLISH, (Stage.PUBLISH,)),
        (PUBLISHED, Goal.PUBLISH, ()),
        (PUBLISHED, Goal.VERIFY, ()),
    ],
)
def test_a_command_takes_the_stages_that_are_left_and_within_its_reach(
    state: CellState, command: Goal, expected: tuple[Stage, ...]
) -> None:
    """Publish never builds, build never runs an image, and what only reads takes none."""
    assert plan.stages(state, command) == expected


def test_a_cell_that_cannot_be_proven_here_is_built_by_build_and_not_by_verify() -> None:
    pending = replace(UNBUILT, cannot_prove="needs a GPU")
    assert plan.stages(pending, Goal.VERIFY) == ()
    assert plan.stages(pending, Goal.BUILD) == BUILDING


def test_a_stage_is_taken_once_in_a_run() -> None:
    """What it left undone, another run may do."""
    state = replace(decided(observed(), NO), done=((Stage.VERIFY, 1.0),))
    assert plan.stages(state, Goal.VERIFY) == ()


def test_nothing_follows_what_stopped_a_run() -> None:
    state = replace(UNBUILT, refusals=(NO.reasons[0],))
    assert plan.stages(state, Goal.VERIFY) == ()


@pytest.mark.parametrize(
    ("state", "expected"), [(PUBLISHED, (Stage.VERIFY,)), (decided(observed(), REFUSED), ())]
)
def test_what_is_proven_is_proven_again_only_if_asked(state: CellState, expected: tuple[Stage, ...]) -> None:
    """And never what its certificate refuses."""
    assert plan.stages(state, Goal.VERIFY, fresh=True) == expected


# -- compatibility and what a build takes -----------------------------------------------------------

ODD = Cell("2.12.0", "cpu", "3.11", "0.32.0")
PINNED = Finding("pin", Level.IMPOSSIBLE, "vllm 0.32.0 pins torch 2.13.0, not 2.12.0", (), "take it")
BAD = Pruned(ODD, (PINNED,))
TAKES = Estimate(download=1, disk=9, compressed=1, installed=2)


def test_a_cell_that_cannot_exist_keeps_every_reason_and_has_nothing_to_do() -> None:
    found = plan.left_out(BAD)
    assert (found.state, found.steps) == (State.IMPOSSIBLE, ())
    assert found.reasons == (Reason(ReasonCode.PIN, PINNED.text, "take it"),)


def test_a_cell_that_is_excluded_has_the_reason_of_the_exclude() -> None:
    found = plan.left_out(Pruned(ODD, excluded="never released"))
    assert [(one.code, one.text) for one in found.reasons] == [("excluded", "never released")]


@pytest.mark.parametrize(
    ("seen", "decision", "estimate"),
    [(observed(image=None), None, TAKES), (observed(), None, None), (observed(), YES, None)],
)
def test_only_a_build_that_is_left_to_do_is_estimated(
    seen: CellState, decision: Decision | None, estimate: Estimate | None
) -> None:
    found = plan.status(decided(seen, decision, channels=()), estimate=TAKES)
    assert found.estimate == estimate


def test_a_build_is_estimated_from_the_locked_wheels() -> None:
    """All of them go to disk, only the missing ones over the network."""
    pins = tuple(Pin(f"p{n}", "1", "0" * 64, f"p{n}-1-py3-none-any.whl", 100) for n in range(3))
    found = build.estimate(Lock(CPU, pins), missing=100)
    assert (found.download, found.compressed, found.installed) == (100, 300, 690)
    assert found.disk == 100 + 9 * 300


@pytest.mark.parametrize(
    ("budget", "kinds"),
    [
        (None, []),
        (Budget(compressed=1, installed=2), []),
        (Budget(installed=1), ["installed"]),
        (Budget(compressed=0, installed=1), ["installed"]),
    ],
)
def test_what_is_larger_than_its_budget_is_warned_about(budget: Budget | None, kinds: list[str]) -> None:
    found = plan.over_budget(CPU, budget, TAKES)
    assert [kind for kind in ("compressed", "installed") for one in found if kind in one.text] == kinds
    assert all(one.level is Level.WARN for one in found)


# -- word for word ---------------------------------------------------------------------------------------


def test_a_budget_that_is_passed_is_a_warning_that_says_by_how_much() -> None:
    """To the byte: as much as the budget is within it."""
    estimate = replace(TAKES, compressed=2_000_000_000_000, installed=4_000_000_000_000)
    hint = "leave packages out, or raise it under `budgets:`"
    where = (f"locks/{CPU.id}.txt",)
    assert plan.over_budget(CPU, Budget(1_500_000_000_000, 3_500_000_000_000), estimate) == tuple(
        Finding(
            "budget",
            Level.WARN,
            f"{CPU.id}: its wheels are {seen} TB {kind}, its budget is {most} TB",
            where,
            hint,
        )
        for seen, kind, most in (
            ("2.00", "compressed", "1.50"),
            ("4.00", "installed", "3.50"),
        )
    )
    assert plan.over_budget(CPU, Budget(2_000_000_000_000, 4_000_000_000_000), estimate) == ()
    assert plan.over_budget(CPU, None, estimate) == ()


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
