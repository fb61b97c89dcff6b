"""Attestations name the versions of what they were made by; those of before are read as they were signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters import signing_keys
from pipeline.model import (
    CHECK_VERSIONS,
    FIRST_CHECKS,
    FIRST_RULES,
    RULE_VERSIONS,
    Certified,
    Digest,
    Proof,
    Reason,
    Record,
    Signed,
    checks_of,
    to_json,
    versions_of,
)
from pipeline.stages import attest
from tests.builders import CPU_CELL, PYTORCH_CELL
from tests.unit.stages.attest.test_reading import KEY, RECORD, SUBJECT, read

OF_BEFORE = Path(__file__).with_name("of_before")
"""A record and a certificate of before there were versions, as the program of that day signed them."""

IMAGE = Digest(f"sha256:{'3' * 64}")


def of_before(name: str) -> Signed | Reason:
    trusted = signing_keys.trusted([signing_keys.read_public(OF_BEFORE / "signer.pub")])
    return attest.read((OF_BEFORE / f"{name}.json").read_bytes(), IMAGE, trusted, manifest=IMAGE)


def test_a_record_of_before_is_read_as_the_first_version_of_each_check() -> None:
    """Its suite is kept, and nothing is made up beside it."""
    proof = of_before("record")
    assert isinstance(proof, Proof)
    first = [name for name in checks_of(CPU_CELL) if name in FIRST_CHECKS]
    assert {proof.record.version_of(name) for name in first} == {1}
    assert (proof.record.suite, "versions" in to_json(proof.record)) == (f"sha256:{'5' * 64}", False)


def test_a_certificate_of_before_is_read_as_the_first_version_of_each_family() -> None:
    certified = of_before("certificate")
    assert isinstance(certified, Certified)
    later = RULE_VERSIONS.keys() - FIRST_RULES
    assert {certified.certificate.version_of(name) for name in FIRST_RULES} == {1}
    assert {certified.certificate.version_of(name) for name in later} == {0}
    assert "versions" not in to_json(certified.certificate)


def test_what_a_record_was_made_by_is_read_back() -> None:
    """A check that it did not make has version 0."""
    versions = {"serve": 3, "adapters": 1}
    record = Record.model_validate({**dict(RECORD), "suite": None, "versions": versions})
    proof = read(attest.sign(record, KEY))
    assert isinstance(proof, Proof)
    assert (proof.record.versions, proof.record.suite) == (versions, None)
    assert [proof.record.version_of(name) for name in ("serve", "adapters", "chat")] == [3, 1, 0]
    assert "suite" not in to_json(proof.record)


@pytest.mark.parametrize("suite", [None, RECORD.suite])
def test_a_record_names_either_versions_or_the_suite_of_before(suite: str | None) -> None:
    with pytest.raises(ValueError, match="names the versions of its checks or, of before, the suite"):
        Record.model_validate(
            {**dict(RECORD), "suite": suite, "versions": versions_of(CPU_CELL) if suite else {}}
        )


def test_a_record_of_today_names_the_checks_of_its_kind() -> None:
    assert set(versions_of(PYTORCH_CELL)) == set(checks_of(PYTORCH_CELL))
    assert versions_of(CPU_CELL) == {name: CHECK_VERSIONS[name] for name in checks_of(CPU_CELL)}


def test_two_attestations_of_one_second_have_an_order_that_all_agree_on() -> None:
    """However the registry lists them: by the digest of the manifest that carries each."""
    one, other = (Proof(RECORD, "key", Digest(f"sha256:{digit * 64}")) for digit in "12")
    assert sorted([other, one], key=lambda proof: proof.order) == [one, other]
    assert one.age == other.age
    assert one.subject == SUBJECT
