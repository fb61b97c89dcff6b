"""The envelope: a statement sealed by a key, as DSSE in a sigstore bundle, and opened again with suspicion.

A stranger may have written every byte of a bundle, so whatever is wrong with one is a FaultError, which
leaves this room as a Reason and never as an exception. Nothing inside an envelope is looked at before the
signature of a trusted key holds over it.
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

from pipeline.model import Frozen, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


PrivateKey = EllipticCurvePrivateKey
PublicKey = EllipticCurvePublicKey

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"

LARGEST = 1 << 20
"""The most bytes that a bundle may have; one of ours has some kilobytes."""

SIGNATURES = 8
"""The most signatures that one envelope may have; each costs a verification by each trusted key."""

DIGITS = 20
"""The most digits of a whole number: the sizes and times in our statements have fewer."""

Model = TypeVar("Model", bound=Frozen)


class InvalidAttestationError(ValueError):
    """What makes a signed statement worthless; it leaves this room as a Reason."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def fingerprint(public: PublicKey) -> str:
    """SHA-256, in hex, of the key's DER SubjectPublicKeyInfo."""
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def sealed(payload: bytes, key: PrivateKey) -> bytes:
    """A signed statement: a sigstore bundle with a DSSE envelope."""
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


def opened(bundle: bytes, trusted: Mapping[str, PublicKey]) -> tuple[dict[str, Any], str]:
    """The statement in a bundle, and the fingerprint of the trusted key that signed it. Raises FaultError."""
    payload, signer = _payload(bundle, trusted)
    value = _object(payload, "the statement")
    if value.get("_type") != STATEMENT:
        raise InvalidAttestationError("record-type", f"is {shown(value.get('_type'))}, not {STATEMENT}")
    return value, signer


@dataclass(frozen=True)
class Envelope:
    """The DSSE envelope of a bundle, alone, and the type of the predicate in it, whoever signed it."""

    body: bytes
    predicate: str


def envelope_of(bundle: bytes) -> Envelope | None:
    """The envelope in a bundle; None where that is not well formed. Nothing is said of who signed it."""
    try:
        envelope = _envelope(_object(bundle, "the bundle"))
        statement = _object(_unbase64(envelope.get("payload"), "payload"), "the statement")
        return Envelope(canonical(envelope), str(statement["predicateType"]))
    except (InvalidAttestationError, KeyError, ValueError):
        return None


def parsed(kind: type[Model], value: Any, missing: str) -> Model:
    """A part of a statement as one of our models; ``missing`` says in a FaultError what it has not."""
    try:
        return kind.model_validate_json(canonical(value))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidAttestationError("record-malformed", f"{missing}: {place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidAttestationError("record-malformed", f"{missing}: {error}") from error


def shown(value: Any) -> str:
    """A stranger's value in a message of ours: short, and nothing that a terminal would obey."""
    return ascii(value)[:80]


def _payload(bundle: bytes, trusted: Mapping[str, PublicKey]) -> tuple[bytes, str]:
    """The signed bytes of a bundle, and the fingerprint of the trusted key that signed them."""
    value = _object(bundle, "the bundle")
    envelope = _envelope(value)
    payload = _unbase64(envelope.get("payload"), "payload")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= SIGNATURES:
        raise InvalidAttestationError("record-malformed", f"has not one to {SIGNATURES} signatures")
    for signature in signatures:
        signed = _unbase64(signature.get("sig") if isinstance(signature, dict) else None, "signature")
        for signer, key in trusted.items():
            if _holds(key, signed, _pae(PAYLOAD, payload)):
                return payload, signer
    raise InvalidAttestationError(
        "record-untrusted",
        f"is not signed by a key that is trusted here; it names {_claimed(value)} as its key",
    )


def _envelope(value: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope of a statement in a bundle. Raises FaultError where there is none."""
    if value.get("mediaType") != BUNDLE:
        raise InvalidAttestationError("record-malformed", f"is no {BUNDLE}")
    envelope = value.get("dsseEnvelope")
    if not isinstance(envelope, dict):
        raise InvalidAttestationError("record-malformed", "has no DSSE envelope")
    if envelope.get("payloadType") != PAYLOAD:
        raise InvalidAttestationError(
            "record-type", f"holds {shown(envelope.get('payloadType'))}, not {PAYLOAD}"
        )
    return envelope


def _claimed(bundle: Mapping[str, Any]) -> str:
    """The key that a bundle says it is signed by. Nobody signed that, so nothing is decided by it."""
    material = bundle.get("verificationMaterial")
    public = material.get("publicKey") if isinstance(material, dict) else None
    hint = public.get("hint") if isinstance(public, dict) else None
    return shown(hint) if hint else "none"


def _holds(key: PublicKey, signature: bytes, signed: bytes) -> bool:
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
    if len(body) > LARGEST:
        raise InvalidAttestationError("record-malformed", f"is too large: {what} has {len(body)} bytes")
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
        raise InvalidAttestationError("record-malformed", f"cannot be read: {what} is no JSON") from error
    if not isinstance(value, dict):
        raise InvalidAttestationError("record-malformed", f"cannot be read: {what} is no JSON object")
    return value


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, item in pairs:
        if name in value:
            raise InvalidAttestationError("record-malformed", f"says {shown(name)} twice")
        value[name] = item
    return value


def _number(text: str) -> int:
    if len(text) > DIGITS or not text.lstrip("-").isdecimal():
        raise InvalidAttestationError("record-malformed", f"has the number {shown(text)}")
    return int(text)


def _fraction(text: str) -> float:
    if len(text) > 2 * DIGITS:
        raise InvalidAttestationError("record-malformed", f"has the number {shown(text)}")
    return float(text)


_STANDARD = str.maketrans("-_", "+/")


def _unbase64(value: Any, what: str) -> bytes:
    """Bytes of standard or URL-safe base64: DSSE has a verifier take both."""
    try:
        return base64.b64decode(value.translate(_STANDARD), validate=True)
    except (AttributeError, binascii.Error, TypeError, ValueError) as error:
        raise InvalidAttestationError(
            "record-malformed", f"cannot be read: its {what} is no base64"
        ) from error
