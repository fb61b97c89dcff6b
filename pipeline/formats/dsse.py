"""DSSE (https://github.com/secure-systems-lab/dsse): a statement signed and verified, in a sigstore bundle.

Anybody may have written a bundle, so whatever is wrong with one is an :class:`InvalidAttestationError`, which
``stages/attest`` turns into a Reason. Nothing inside an envelope is believed before the signature of a
trusted key over it is verified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from pipeline.model import PROJECT, Frozen, ReasonCode, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


PrivateKey = EllipticCurvePrivateKey
PublicKey = EllipticCurvePublicKey

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
"""The predicate of a record: what a suite saw (in-toto/attestation, spec/predicates/test-result.md)."""
RECORD = f"{PROJECT}_record"
"""The member of such a predicate that holds our whole record."""

MAX_BUNDLE_BYTES = 1 << 20
"""Ours have some kilobytes, and a bill of materials of 800 packages 600."""

MAX_SIGNATURES = 8
"""Signatures of one envelope: each costs a verification by each trusted key."""

MAX_DIGITS = 20
"""Digits of a whole number: the sizes and times in our statements have fewer."""

Model = TypeVar("Model", bound=Frozen)


class InvalidAttestationError(ValueError):
    """Why a bundle is rejected; ``code`` and ``text`` are those of a Reason."""

    def __init__(self, code: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def fingerprint(public: PublicKey) -> str:
    """SHA-256, in hex, of the key's DER SubjectPublicKeyInfo."""
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def sign(payload: bytes, key: PrivateKey) -> bytes:
    """A statement signed by this key: a sigstore bundle with a DSSE envelope."""
    signature = key.sign(_pae(PAYLOAD, payload), ECDSA(SHA256()))
    value = {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": fingerprint(key.public_key())}},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }
    return canonical(value)


def verify(bundle: bytes, trusted: Mapping[str, PublicKey]) -> tuple[dict[str, Any], str]:
    """The statement in a bundle, and the fingerprint of the trusted key that signed it.

    ``trusted`` maps fingerprints to public keys. Raises InvalidAttestationError.
    """
    payload, signer = _payload(bundle, trusted)
    value = _object(payload, "the statement")
    if value.get("_type") != STATEMENT:
        raise InvalidAttestationError(
            ReasonCode.RECORD_TYPE, f"is {shown(value.get('_type'))}, not {STATEMENT}"
        )
    return value, signer


def subjects_of(value: Mapping[str, Any]) -> list[object]:
    """The SHA-256 of all that a statement is about, in hex."""
    subjects = value.get("subject")
    named = subjects if isinstance(subjects, list) else []
    digests = [one.get("digest") for one in named if isinstance(one, dict)]
    return [digest.get("sha256") for digest in digests if isinstance(digest, dict)]


def json_object(body: bytes, what: str) -> dict[str, Any]:
    """A JSON object that means one thing only; ``what`` is what messages call it.

    Raises InvalidAttestationError for anything else.
    """
    return _object(body, what)


def unverified(bundle: bytes) -> dict[str, Any]:
    """The statement in a bundle whose signature nobody asks for. Raises InvalidAttestationError."""
    envelope = _envelope(_object(bundle, "the bundle"))
    return _object(_unbase64(envelope.get("payload"), "payload"), "the statement")


@dataclass(frozen=True)
class Envelope:
    """The DSSE envelope of a bundle, and the type of the predicate in it; no signature is verified."""

    body: bytes
    predicate: str


def envelope_of(bundle: bytes) -> Envelope | None:
    """The envelope in a bundle, its signatures not verified; None where the bundle is not well formed."""
    try:
        envelope = _envelope(_object(bundle, "the bundle"))
        statement = _object(_unbase64(envelope.get("payload"), "payload"), "the statement")
        return Envelope(canonical(envelope), str(statement["predicateType"]))
    except (InvalidAttestationError, KeyError, ValueError):
        return None


def parsed(kind: type[Model], value: Any, missing: str) -> Model:
    """A part of a statement as one of our models.

    Raises InvalidAttestationError, whose text begins with ``missing``.
    """
    try:
        return kind.model_validate_json(canonical(value))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, f"{missing}: {place}: {first['msg']}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, f"{missing}: {error}") from error


def shown(value: Any) -> str:
    """An untrusted value for a message: short, and without characters that a terminal would obey."""
    return ascii(value)[:80]


def _payload(bundle: bytes, trusted: Mapping[str, PublicKey]) -> tuple[bytes, str]:
    """The signed bytes of a bundle, and the fingerprint of the trusted key that signed them."""
    value = _object(bundle, "the bundle")
    envelope = _envelope(value)
    payload = _unbase64(envelope.get("payload"), "payload")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MAX_SIGNATURES:
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, f"has not one to {MAX_SIGNATURES} signatures"
        )
    for signature in signatures:
        signed = _unbase64(signature.get("sig") if isinstance(signature, dict) else None, "signature")
        for signer, key in trusted.items():
            if is_valid(key, signed, _pae(PAYLOAD, payload)):
                return payload, signer
    raise InvalidAttestationError(
        ReasonCode.RECORD_UNTRUSTED,
        f"is not signed by a key that is trusted here; it names {_key_hint(value)} as its key",
    )


def _envelope(value: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope of a statement in a bundle. Raises InvalidAttestationError where there is none."""
    if value.get("mediaType") != BUNDLE:
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, f"is no {BUNDLE}")
    envelope = value.get("dsseEnvelope")
    if not isinstance(envelope, dict):
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, "has no DSSE envelope")
    if envelope.get("payloadType") != PAYLOAD:
        raise InvalidAttestationError(
            ReasonCode.RECORD_TYPE, f"holds {shown(envelope.get('payloadType'))}, not {PAYLOAD}"
        )
    return envelope


def _key_hint(bundle: Mapping[str, Any]) -> str:
    """The key that a bundle names as its own. That is not signed, so it serves for messages only."""
    material = bundle.get("verificationMaterial")
    public = material.get("publicKey") if isinstance(material, dict) else None
    hint = public.get("hint") if isinstance(public, dict) else None
    return shown(hint) if hint else "none"


def key_named_in(bundle: bytes) -> str:
    """The key that a bundle names as its signer's, which nobody vouches for; "none" where it names none."""
    try:
        return _key_hint(_object(bundle, "the bundle"))
    except InvalidAttestationError:
        return "none"


def is_valid(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether it is a signature of these bytes by this key: ECDSA over their SHA-256, as DER."""
    try:
        key.verify(signature, signed, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _pae(kind: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what the signature is really over."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)


def _object(body: bytes, what: str) -> dict[str, Any]:
    """A JSON object that means one thing only: no name twice, no number that does not fit."""
    if len(body) > MAX_BUNDLE_BYTES:
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, f"is too large: {what} has {len(body)} bytes"
        )
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_unique,
            parse_int=_number,
            parse_float=_fraction,
            parse_constant=_number,
        )
    except InvalidAttestationError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, f"cannot be read: {what} is no JSON"
        ) from error
    if not isinstance(value, dict):
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, f"cannot be read: {what} is no JSON object"
        )
    return value


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, item in pairs:
        if name in value:
            raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, f"says {shown(name)} twice")
        value[name] = item
    return value


def _number(text: str) -> int:
    if len(text) > MAX_DIGITS or not text.lstrip("-").isdecimal():
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, f"has the number {shown(text)}")
    return int(text)


def _fraction(text: str) -> float:
    if len(text) > 2 * MAX_DIGITS:
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, f"has the number {shown(text)}")
    return float(text)


_STANDARD = str.maketrans("-_", "+/")


def _unbase64(value: Any, what: str) -> bytes:
    """Bytes of standard or URL-safe base64: DSSE has a verifier take both."""
    try:
        return base64.b64decode(value.translate(_STANDARD), validate=True)
    except (AttributeError, binascii.Error, TypeError, ValueError) as error:
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, f"cannot be read: its {what} is no base64"
        ) from error
