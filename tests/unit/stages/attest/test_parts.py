"""A part of a day with a GPU, signed: it is read back as it was, and taken for nothing else."""

from __future__ import annotations

import pytest

from pipeline.formats.dsse import InvalidAttestationError
from pipeline.model import Outcome, Reason
from pipeline.stages import attest
from tests.builders import IMAGE, check, part, record
from tests.unit.stages.attest.samples import KEY, STRANGER, TRUSTED

PART = part(
    checks=(check("serves"), check("gives_back", Outcome.FAILED)),
    facts=(("start, caches empty", "41.0 s"),),
)


def test_a_part_is_read_as_it_was_signed() -> None:
    assert attest.parts.part_of(attest.parts.sign(PART, KEY), TRUSTED) == PART


def test_a_part_that_a_stranger_signed_is_none_of_ours() -> None:
    with pytest.raises(InvalidAttestationError):
        attest.parts.part_of(attest.parts.sign(PART, STRANGER), TRUSTED)


def test_a_record_is_no_part_of_a_day() -> None:
    with pytest.raises(InvalidAttestationError, match="states something else"):
        attest.parts.part_of(attest.sign(record(), KEY), TRUSTED)


def test_a_part_is_no_record_that_a_gate_could_count() -> None:
    """Whoever attaches it to an image gains nothing."""
    manifest = IMAGE.ref.digest
    answer = attest.read(attest.parts.sign(PART, KEY), IMAGE.ref.digest, TRUSTED, manifest=manifest)
    assert isinstance(answer, Reason)


@pytest.mark.parametrize(
    ("outcomes", "outcome"),
    [
        ((Outcome.PASSED, Outcome.PASSED), Outcome.PASSED),
        ((Outcome.PASSED, Outcome.INCONCLUSIVE), Outcome.INCONCLUSIVE),
        ((Outcome.INCONCLUSIVE, Outcome.FAILED), Outcome.FAILED),
    ],
)
def test_the_worst_check_is_the_outcome_of_a_part(outcomes: tuple[Outcome, ...], outcome: Outcome) -> None:
    checks = tuple(check(f"check{index}", each) for index, each in enumerate(outcomes))
    assert PART.model_copy(update={"checks": checks}).outcome is outcome
