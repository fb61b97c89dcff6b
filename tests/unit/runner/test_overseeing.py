"""What an audit says of a channel beside what the gate says: the end of its support, and a newer release."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from pipeline.model import Acceptance, Audited, Digest, Judgement, Support
from pipeline.report import oversight
from pipeline.runner.overseeing import of_channel
from tests.builders import CPU_CELL, IMAGE, certified, image, proof

OLD = replace(CPU_CELL, vllm="0.31.0")
AUDITED = Audited("127.0.0.1:5000/tagproof:cpu", IMAGE.ref, Judgement.CURRENT)


def accepted() -> Acceptance:
    """The acceptance of an image of the older cell."""
    ref = image(OLD).ref
    return Acceptance(
        ref, ref, Digest.of(b"policy"), (), proofs=(proof(image(OLD)),), certified=certified(image(OLD))
    )


def test_a_newer_release_is_noted_and_is_no_reason_to_do_anything() -> None:
    audited = of_channel(AUDITED, accepted(), {})
    (note,) = audited.notes
    assert note.startswith("vLLM 0.")
    assert note.endswith(" is out")
    assert audited.is_good
    assert note in "\n".join(oversight.lines([audited]))
    assert note in oversight.markdown([audited])


@pytest.mark.parametrize(
    ("until", "codes"), [(date(2026, 1, 1), ["support-ended"]), (date(2999, 1, 1), [])], ids=str
)
def test_the_end_of_its_support_is_a_reason(until: date, codes: list[str]) -> None:
    audited = of_channel(AUDITED, accepted(), {OLD.id: Support(until, "the fleet has gone on")})
    assert [reason.code for reason in audited.reasons] == codes
    assert audited.is_good is not bool(codes)


def test_of_what_is_refused_already_nothing_more_is_said() -> None:
    refused = replace(accepted(), proofs=())
    supports = {OLD.id: Support(date(2026, 1, 1), "the fleet has gone on")}
    assert of_channel(AUDITED, refused, supports) == AUDITED
