"""What speaks against a published digest: a yank for ever, a tag moved back until a newer proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.model import Attestations, Life, Reason, Support
from pipeline.stages.gate import decide, holds
from tests.builders import FINISHED, INPUTS, NOW, REPOSITORY, declared, rfc3339
from tests.unit.stages.deployed_image import GOOD, STRANGER, Beside, transition
from tests.unit.stages.test_gate import CELL, IMAGE, POLICY, proof

BEFORE, AFTER = rfc3339(NOW - timedelta(minutes=30)), rfc3339(NOW)
CERTIFIED = GOOD.attestations.certificates
YANKED: dict[str, Any] = {"life": Life.YANKED}
MOVED: dict[str, Any] = {"life": Life.SUPERSEDED}


def against(*transitions: dict[str, Any], finished: str = FINISHED) -> tuple[Reason, ...]:
    said = tuple(declared(IMAGE, **one) for one in transitions)
    beside = Attestations((proof(finished=finished),), CERTIFIED, transitions=said)
    return decide(CELL, IMAGE, REPOSITORY, beside, policy=POLICY, basis=None, inputs=INPUTS, now=NOW).reasons


def codes(*transitions: dict[str, Any], finished: str = FINISHED) -> list[str]:
    return [reason.code for reason in against(*transitions, finished=finished)]


def test_a_publication_speaks_against_nothing() -> None:
    assert codes({"life": Life.PUBLISHED}) == []


@pytest.mark.parametrize("at", [BEFORE, AFTER])
def test_no_proof_outweighs_a_yank_whenever_it_was(at: str) -> None:
    assert codes(YANKED | {"at": at}) == ["yanked"]


def test_a_yank_says_when_who_and_why() -> None:
    (reason,) = against(YANKED | {"reason": "wrong answers"})
    assert reason.text == (
        f"{CELL.id}: {IMAGE.ref.digest} was yanked at {FINISHED} by somebody@here: wrong answers"
    )
    assert reason.hint == "change what it is built from; this digest gets no tag again"


def test_a_tag_that_was_moved_back_counts_until_a_newer_proof() -> None:
    assert codes(MOVED | {"at": FINISHED}) == ["moved-back"]
    assert codes(MOVED | {"at": BEFORE}, finished=AFTER) == []


def test_what_lost_one_tag_keeps_the_others_and_what_was_yanked_keeps_none() -> None:
    cell, digest = CELL, IMAGE.ref.digest
    beside = replace(GOOD.attestations, proofs=(proof(),))
    moved = replace(beside, transitions=(declared(IMAGE, **MOVED, at=AFTER),))
    yanked = replace(beside, transitions=(declared(IMAGE, **YANKED),))
    held = [holds(cell, digest, REPOSITORY, each, policy=POLICY, now=NOW) for each in (beside, moved, yanked)]
    assert [one is not None for one in held] == [True, True, False]


def test_a_deployment_is_refused_what_was_yanked_and_not_what_a_tag_was_moved_back_from() -> None:
    assert GOOD.and_also(transition(**MOVED, at=AFTER)).judged().accepted
    refused = GOOD.and_also(transition(**YANKED, reason="wrong answers")).judged()
    assert [reason.code for reason in refused.reasons] == ["yanked"]
    assert refused.reasons[0].text == (
        f"it was yanked at {FINISHED} by somebody@here: wrong answers; signed by team"
    )


def test_a_strangers_yank_counts_for_nothing() -> None:
    assert GOOD.and_also(transition(STRANGER, **YANKED)).judged().accepted
    assert Beside((*GOOD.bundles, transition(STRANGER, **YANKED))).attestations.yanked is None


# -- support ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "is_over"), [(0, False), (1, True)])
def test_a_cell_gets_new_tags_until_the_last_day_of_its_support(days: int, is_over: bool) -> None:
    until = (NOW - timedelta(days=days)).date()
    decision = decide(
        CELL,
        IMAGE,
        REPOSITORY,
        Attestations((proof(),), CERTIFIED),
        policy=POLICY,
        basis=None,
        inputs=INPUTS,
        now=NOW,
        support=Support(until, "PyTorch 2.1 gets no fixes"),
    )
    said = [(reason.code, reason.text) for reason in decision.reasons]
    over = ("support-ended", f"{CELL.id}: its support ended on {until}: PyTorch 2.1 gets no fixes")
    assert said == ([over] if is_over else [])
