"""Signed records: what holds, and that nothing else does, whatever a stranger writes."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as some

from pipeline.adapters import signing_keys
from pipeline.formats import dsse
from pipeline.model import (
    Certified,
    Digest,
    Outcome,
    Proof,
    Reason,
    Rehearsed,
    Result,
    Signed,
    canonical,
)
from pipeline.stages import attest
from pipeline.stages.attest import certificates, records, rehearsals
from tests.builders import certificate, check, record, rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = generate_private_key(SECP256R1())
TRUSTED = signing_keys.trusted([KEY.public_key()])
SUBJECT = Digest(f"sha256:{'a' * 64}")
CARRIER = Digest(f"sha256:{'d' * 64}")
RECORD = record(
    attempt=2,
    checks=(
        check("serve", seconds=31.25),
        check("correct", Outcome.FAILED, expected="[1, 2]", seen="[1, 3]"),
        check("batch", Outcome.INCONCLUSIVE, seconds=0),
    ),
    result=Result.FAILED,
)
BUNDLE = attest.sign(RECORD, KEY)


def read(bundle: bytes, subject: Digest = SUBJECT) -> Signed | Reason:
    return attest.read(bundle, subject, TRUSTED, manifest=CARRIER)


def code(bundle: bytes) -> str:
    """Why it is refused."""
    found = read(bundle)
    assert isinstance(found, Reason)
    return found.code


def sealed(payload: bytes, payload_type: str = dsse.PAYLOAD) -> bytes:
    """Any payload, signed by the trusted key as DSSE has it."""
    kind = payload_type.encode()
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    signature = KEY.sign(encoded, ECDSA(SHA256()))
    envelope_ = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps({"mediaType": dsse.BUNDLE, "dsseEnvelope": envelope_}).encode()


def statement(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Our statement, changed, and signed by the trusted key all the same."""
    value = json.loads(attest.statement(RECORD))
    change(value)
    return sealed(json.dumps(value).encode())


def test_what_was_signed_is_what_is_read() -> None:
    """The record comes back equal, with who signed it and what carries it."""
    assert read(BUNDLE) == Proof(RECORD, dsse.fingerprint(KEY.public_key()), CARRIER)


def test_the_statement_is_a_test_result_that_others_understand() -> None:
    """Result, checks by outcome, and subject stand where in-toto's predicate has them."""
    value = json.loads(attest.statement(RECORD))
    assert value["subject"] == [{"name": RECORD.repository, "digest": {"sha256": SUBJECT.hex}}]
    predicate = value["predicate"]
    assert [predicate[name] for name in ("result", "passedTests", "warnedTests", "failedTests")] == [
        "FAILED",
        ["serve"],
        ["batch"],
        ["correct"],
    ]


def test_a_tampered_payload_is_refused() -> None:
    """One word changed under the old signature."""
    value = json.loads(BUNDLE)
    payload = base64.b64decode(value["dsseEnvelope"]["payload"]).replace(b"FAILED", b"PASSED")
    value["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    assert code(json.dumps(value).encode()) == "record-untrusted"


def test_another_key_is_refused_even_under_our_hint() -> None:
    """The key's name in the bundle is not signed, so it decides nothing."""
    value = json.loads(attest.sign(RECORD, generate_private_key(SECP256R1())))
    value["verificationMaterial"]["publicKey"]["hint"] = dsse.fingerprint(KEY.public_key())
    assert code(json.dumps(value).encode()) == "record-untrusted"


def test_a_record_of_another_image_is_refused() -> None:
    """An old record attached to a new image."""
    found = read(BUNDLE, Digest(f"sha256:{'9' * 64}"))
    assert isinstance(found, Reason)
    assert found.code == "record-subject"


def test_a_record_of_an_environment_that_is_no_image_counts_for_nothing() -> None:
    """Whatever digest it names: the same record, signed by a trusted key, under the type of such records."""
    found = read(attest.sign(RECORD, KEY, predicate=attest.BARE_METAL))
    assert isinstance(found, Reason)
    assert found.code == "record-type"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "record-type"),
        (lambda s: s.update(predicateType=f"{attest.PREDICATE}.1"), "record-type"),
        (lambda s: s["predicate"].update(result="PASSED"), "record-malformed"),
        (lambda s: s["predicate"].update(failedTests=[]), "record-malformed"),
        (lambda s: s["predicate"][records.EXTENSION].update(surprise=1), "record-malformed"),
        (lambda s: s["predicate"][records.EXTENSION].update(schema=2), "record-malformed"),
        (lambda s: s["predicate"][records.EXTENSION].update(attempt=True), "record-malformed"),
        (
            lambda s: s["predicate"][records.EXTENSION].update(finished="2030-99-02T03:05:05Z"),
            "record-malformed",
        ),
        (lambda s: s["predicate"].pop(records.EXTENSION), "record-malformed"),
        (lambda s: s.update(predicate=[]), "record-malformed"),
        (lambda s: s["subject"].append(s["subject"][0]), "record-malformed"),
        (lambda s: s["subject"][0].update(name="elsewhere/other"), "record-malformed"),
        (lambda s: s["subject"][0]["digest"].update(sha256="9" * 64), "record-malformed"),
    ],
)
def test_a_signed_statement_that_is_not_ours_is_refused(
    change: Callable[[dict[str, Any]], Any], expected: str
) -> None:
    """The signature holds; what it is over does not fit."""
    assert code(statement(change)) == expected


def test_another_payload_type_is_refused() -> None:
    """Our statement, signed as something else."""
    assert code(sealed(attest.statement(RECORD), "application/json")) == "record-type"


def inside(text: str) -> bytes:
    """Our signed statement with this text in place of the attempt's number."""
    return sealed(attest.statement(RECORD).replace(b'"attempt":2', f'"attempt":{text}'.encode()))


@pytest.mark.parametrize(
    "bundle",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe{}",
        b"{" * 1000,
        b"[" * 900_000,
        b"9" * 900_000,
        BUNDLE.replace(b'"mediaType"', b'"mediaType":"x","mediaType"'),
        BUNDLE.replace(b'"payload":"', b'"payload":"*'),
        BUNDLE.replace(b'"payload":"', '"payload":"é'.encode()),
        BUNDLE.replace(b'"signatures":[', b'"signatures":[1,'),
        BUNDLE + b" " * dsse.MAX_BUNDLE_BYTES,
        json.dumps({"mediaType": dsse.BUNDLE, "dsseEnvelope": 1}).encode(),
        inside('2,"attempt":2'),
        inside("9" * 5000),
        inside("1e999"),
        inside("NaN"),
        inside("-Infinity"),
        inside('"\\ud800"'),
        inside("2.0"),
        sealed(b"\x00" * 100),
        sealed(b"[" * 100_000),
    ],
    ids=range(22),
)
def test_what_is_malformed_is_a_reason_within_a_second(bundle: bytes) -> None:
    """No exception and no hang, whatever the bytes, and whoever signed them."""
    began = time.monotonic()
    assert code(bundle) in ("record-malformed", "record-untrusted")
    assert time.monotonic() - began < 1


@given(some.binary(max_size=200), some.integers(0, len(BUNDLE)))
def test_no_bytes_raise(noise: bytes, place: int) -> None:
    """Noise in place of a part of the bundle never passes as another record."""
    found = read(BUNDLE[:place] + noise + BUNDLE[place + len(noise) :])
    assert isinstance(found, Reason) or (isinstance(found, Proof) and found.record == RECORD)


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: (
        some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(JSON, some.sampled_from(sorted(json.loads(attest.statement(RECORD))["predicate"][records.EXTENSION])))
def test_no_signed_value_raises(value: Any, name: str) -> None:
    """Any JSON in place of any field of a record that a trusted key signed."""
    found = read(statement(lambda s: s["predicate"][records.EXTENSION].update({name: value})))
    assert isinstance(found, Reason | Proof)


# -- certificates -----------------------------------------------------------------------------------

CERTIFICATE = certificate()


def stated(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The statement of the certificate, changed, and signed by the trusted key all the same."""
    value = json.loads(certificates.statement(CERTIFICATE))
    change(value)
    return sealed(canonical(value))


def test_a_certificate_comes_back_as_it_was_signed() -> None:
    assert read(certificates.sign(CERTIFICATE, KEY)) == Certified(
        CERTIFICATE, dsse.fingerprint(KEY.public_key()), CARRIER
    )


@pytest.mark.parametrize(
    ("bundle", "expected"),
    [
        (certificates.sign(CERTIFICATE, generate_private_key(SECP256R1())), "record-untrusted"),
        (stated(lambda s: s["predicate"].update(digest=f"sha256:{'e' * 64}")), "record-subject"),
        (stated(lambda s: s["predicate"].update(surprise=1)), "record-malformed"),
        (stated(lambda s: s["predicate"].pop("findings")), "record-malformed"),
        (stated(lambda s: s.update(predicate=None)), "record-malformed"),
        (stated(lambda s: s["subject"][0].update(name="elsewhere")), "record-malformed"),
        (stated(lambda s: s.update(predicateType=records.PREDICATE)), "record-malformed"),
        (stated(lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")), "record-type"),
    ],
)
def test_a_certificate_that_is_not_ours_or_not_of_this_image_counts_for_nothing(
    bundle: bytes, expected: str
) -> None:
    assert code(bundle) == expected


# -- rehearsals -------------------------------------------------------------------------------------

REHEARSAL = rehearsal()


def said(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The statement of the rehearsal, changed, and signed by the trusted key all the same."""
    value = json.loads(rehearsals.statement(REHEARSAL))
    change(value)
    return sealed(canonical(value))


def test_a_rehearsal_comes_back_as_it_was_signed() -> None:
    assert read(rehearsals.sign(REHEARSAL, KEY)) == Rehearsed(
        REHEARSAL, dsse.fingerprint(KEY.public_key()), CARRIER
    )


@pytest.mark.parametrize(
    ("bundle", "expected"),
    [
        (rehearsals.sign(REHEARSAL, generate_private_key(SECP256R1())), "record-untrusted"),
        (said(lambda s: s["predicate"].update(digest=f"sha256:{'e' * 64}")), "record-subject"),
        (said(lambda s: s["predicate"].update(surprise=1)), "record-malformed"),
        (said(lambda s: s["predicate"].update(versions={})), "record-malformed"),
        (said(lambda s: s["predicate"].update(finished="2030-02-31T00:00:00Z")), "record-malformed"),
        (said(lambda s: s.update(predicate=None)), "record-malformed"),
        (said(lambda s: s["subject"][0].update(name="elsewhere")), "record-malformed"),
        (said(lambda s: s.update(predicateType=records.PREDICATE)), "record-malformed"),
        (said(lambda s: s.update(predicateType=certificates.CERTIFICATE)), "record-malformed"),
        (sealed(records.statement(RECORD, rehearsals.REHEARSAL)), "record-malformed"),
        (said(lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")), "record-type"),
    ],
)
def test_a_rehearsal_is_never_taken_for_another_statement_nor_another_for_it(
    bundle: bytes, expected: str
) -> None:
    """Under the type of a record it would be a proof."""
    assert code(bundle) == expected


def test_a_signature_in_url_safe_base64_is_taken() -> None:
    """DSSE has a verifier take both alphabets, whoever wrote the envelope."""
    value = json.loads(BUNDLE)
    held = value["dsseEnvelope"]
    for place, name in ((held, "payload"), (held["signatures"][0], "sig")):
        place[name] = place[name].replace("+", "-").replace("/", "_")
    assert isinstance(read(json.dumps(value).encode()), Proof)
