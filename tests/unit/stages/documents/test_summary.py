"""What a summary of the gate's decision says, and that there is none of a refusal."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.model import Decision, Digest, Reason, ReasonCode
from pipeline.stages import documents
from tests.builders import IMAGE, REPOSITORY, certified, proof

PUBLISHED = REPOSITORY.at(IMAGE.ref.digest)
POLICY = Digest.of(b"a policy")
ALLOWED = Decision((), proof=proof(), certified=certified())
MOMENT, SIGNER = "2030-01-02T03:04:05Z", "9" * 64


def test_it_names_the_image_the_policy_and_what_it_was_decided_by() -> None:
    made = documents.summary(PUBLISHED, ALLOWED, POLICY, MOMENT, SIGNER)
    assert (made.digest, made.created) == (str(IMAGE.ref.digest), MOMENT)
    predicate = json.loads(made.text)
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["policy"]["digest"] == {"sha256": POLICY.hex}
    assert predicate["resourceUri"].startswith("pkg:oci/")
    assert str(REPOSITORY) in predicate["resourceUri"].replace("%3A", ":").replace("%2F", "/")
    assert [one["digest"]["sha256"] for one in predicate["inputAttestations"]] == [
        proof().manifest.hex,
        certified().manifest.hex,
    ]
    assert SIGNER in predicate["verifier"]["id"]
    assert not any(level.startswith("SLSA_") for level in predicate["verifiedLevels"])


@pytest.mark.parametrize(
    "decision",
    [
        replace(ALLOWED, reasons=(Reason(ReasonCode.STALE, "too old", ""),)),
        replace(ALLOWED, proof=None),
        replace(ALLOWED, certified=None),
    ],
    ids=["refused", "no proof", "no certificate"],
)
def test_of_a_refusal_there_is_none(decision: Decision) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        documents.summary(PUBLISHED, decision, POLICY, MOMENT, SIGNER)


def test_two_of_one_decision_say_the_same_whenever_they_were_made() -> None:
    first = documents.summary(PUBLISHED, ALLOWED, POLICY, MOMENT, SIGNER)
    assert documents.says_the_same(first, replace(first, text=first.text.replace("2030", "2031")))
    other = documents.summary(PUBLISHED, ALLOWED, Digest.of(b"another"), MOMENT, SIGNER)
    assert not documents.says_the_same(first, other)
