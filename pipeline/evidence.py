"""The record as others can check it: an in-toto statement, signed, stored beside its image.

The statement's predicate is test-result v0.1, which any in-toto reader knows, with our whole record
in one more field. It is signed as DSSE with ECDSA P-256, and stored as a sigstore bundle v0.3 that
refers to the image, and once more under the tag where older versions of cosign look for it.

:func:`read` trusts nothing that it is given. A stranger may have written every byte, so whatever is
wrong with them comes back as a :class:`Reason`, never as an exception.
"""

from __future__ import annotations

import base64
import binascii
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import ValidationError

from pipeline.errors import RegistryError
from pipeline.keys import fingerprint
from pipeline.nouns import PROJECT, Digest, Outcome, Proof, Reason, Record, canonical, plain
from pipeline.registry import OCI_MANIFEST, ContentError, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.keys import PrivateKey, PublicKey
    from pipeline.nouns import ImageRef
    from pipeline.registry import Descriptor, Registry

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
BARE_METAL = f"urn:{PROJECT}:bare-metal-test-result:v1"
"""The predicate of a record of an environment that is no image; no gate reads it."""
EXTENSION = f"{PROJECT}_record"

LARGEST = 1 << 20
"""The most bytes that a bundle may have; one of ours has some kilobytes."""

SIGNATURES = 8
DIGITS = 20
PARALLEL = 8


class _FaultError(ValueError):
    """What makes a record worthless; it leaves this module as a Reason."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True)
class Evidence:
    """The signed records beside images, as those see them who trust these keys (by fingerprint)."""

    trusted: Mapping[str, PublicKey]

    def proofs(self, registry: Registry, digest: Digest) -> tuple[Proof, ...]:
        """The proofs beside an image, newest first. Raises RegistryError as :func:`proofs` does."""
        return proofs(registry, digest, self.trusted)[0]

    def copy(self, proof: Proof, source: Registry, destination: Registry) -> None:
        """Store the very bytes of a proof elsewhere too. Raises RegistryError as :func:`copy` does."""
        copy(proof, source, destination)


# -- writing ----------------------------------------------------------------------------------------


def statement(record: Record, predicate: str = PREDICATE) -> bytes:
    """What is signed: the in-toto statement of a record, about the image in its destination repository."""
    value = {
        "_type": STATEMENT,
        "subject": [{"name": record.repository, "digest": {"sha256": record.digest.removeprefix("sha256:")}}],
        "predicateType": predicate,
        "predicate": {
            "result": record.result.value,
            "configuration": [
                {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
                for name, digest in (("suite", record.suite), ("lock", record.lock), ("model", record.model))
            ],
            **_tests(record),
            EXTENSION: plain(record),
        },
    }
    return canonical(value)


def sign(record: Record, key: PrivateKey, *, predicate: str = PREDICATE) -> bytes:
    """The signed record: a sigstore bundle with a DSSE envelope."""
    payload = statement(record, predicate)
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


def attach(registry: Registry, ref: ImageRef, bundle: bytes) -> Digest:
    """Store a bundle beside its image, both ways; the digest is that of the bundle's manifest.

    Raises RegistryError where the image is not there or the registry does not take it.
    """
    manifest = registry.manifest(ref.digest)
    subject = _there(manifest, f"{ref}").descriptor
    notes = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": PREDICATE}
    digest = registry.attach(subject, BUNDLE, bundle, notes)
    _attach_for_older_cosign(registry, ref.digest, bundle)
    return digest


def copy(proof: Proof, source: Registry, destination: Registry) -> None:
    """Store the very bytes of a proof in another repository too. The image need not be there yet.

    Raises RegistryError where one of the two registries does not answer or does not take it.
    """
    manifest = _there(source.manifest(proof.manifest), f"{source.repository}@{proof.manifest}")
    bundle = source.blob(manifest.layers[0].digest)
    destination.put_blob(source.blob(manifest.config.digest))
    destination.put_blob(bundle)
    destination.put_referrer(manifest)
    _attach_for_older_cosign(destination, Digest(proof.record.digest), bundle)


def _attach_for_older_cosign(registry: Registry, subject: Digest, bundle: bytes) -> None:
    """Add the envelope alone to the list under ``sha256-….att``, where cosign looks by default."""
    layer = registry.put_blob(canonical(json.loads(bundle)["dsseEnvelope"]))
    config = registry.put_blob(canonical({"architecture": "", "os": "", "rootfs": {"type": "layers"}}))
    entry = {
        **layer.plain,
        "mediaType": ENVELOPE,
        "annotations": {"dev.cosignproject.cosign/signature": "", "predicateType": PREDICATE},
    }
    empty = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {**config.plain, "mediaType": "application/vnd.oci.image.config.v1+json"},
        "layers": [],
    }
    registry.enlist(f"sha256-{subject.hex}.att", "layers", entry, empty)


# -- reading ----------------------------------------------------------------------------------------


def proofs(
    registry: Registry, digest: Digest, trusted: Mapping[str, PublicKey]
) -> tuple[tuple[Proof, ...], tuple[Reason, ...]]:
    """The proofs that lie beside an image, newest first, and why any other record there counts for nothing.

    ``trusted`` maps fingerprints to the public keys whose records count. Raises RegistryError where
    the registry does not answer; a record that is broken or forged is a reason.
    """
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(
            pool.map(
                lambda one: _fetch(registry, one, digest, trusted),
                registry.referrers(digest, BUNDLE),
            )
        )
    held = sorted((one for one in found if isinstance(one, Proof)), key=_age, reverse=True)
    return tuple(held), tuple(one for one in found if isinstance(one, Reason))


def read(
    bundle: bytes, subject: Digest, trusted: Mapping[str, PublicKey], *, manifest: Digest
) -> Proof | Reason:
    """The proof that these bytes are for this image, or why they are none.

    ``manifest`` is the digest of the manifest that carries them. Nothing that is inside the envelope
    is looked at before the signature of a trusted key holds over it.
    """
    try:
        payload, signer = _opened(bundle, trusted)
        record = _record(_object(payload, "the statement"), subject)
    except _FaultError as fault:
        return _reason(fault.code, f"the record {manifest} {fault.text}", subject)
    return Proof(record, signer, manifest)


def _fetch(
    registry: Registry, referrer: Descriptor, subject: Digest, trusted: Mapping[str, PublicKey]
) -> Proof | Reason:
    """One referrer, from descriptor to proof."""
    name = f"the record {referrer.digest}"
    if referrer.size > LARGEST:
        return _reason("record-malformed", f"{name} has a manifest of {referrer.size} bytes", subject)
    try:
        manifest = registry.manifest(referrer.digest)
        if manifest is None:
            return _reason("record-missing", f"{name} is listed but not in the registry", subject)
        layers = manifest.layers
        if len(layers) != 1 or layers[0].media_type != BUNDLE or layers[0].size > LARGEST:
            return _reason("record-malformed", f"{name} does not hold one bundle of sigstore", subject)
        bundle = registry.blob(layers[0].digest)
    except ContentError as error:
        return _reason("record-malformed", f"{name} cannot be read: {error.what}", subject)
    return read(bundle, subject, trusted, manifest=manifest.digest)


def _opened(bundle: bytes, trusted: Mapping[str, PublicKey]) -> tuple[bytes, str]:
    """The signed bytes of a bundle, and the fingerprint of the trusted key that signed them."""
    value = _object(bundle, "the bundle")
    if value.get("mediaType") != BUNDLE:
        raise _FaultError("record-malformed", f"is no {BUNDLE}")
    envelope = value.get("dsseEnvelope")
    if not isinstance(envelope, dict):
        raise _FaultError("record-malformed", "has no DSSE envelope")
    if envelope.get("payloadType") != PAYLOAD:
        raise _FaultError("record-type", f"holds {_shown(envelope.get('payloadType'))}, not {PAYLOAD}")
    payload = _unbase64(envelope.get("payload"), "payload")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= SIGNATURES:
        raise _FaultError("record-malformed", f"has not one to {SIGNATURES} signatures")
    for signature in signatures:
        sealed = _unbase64(signature.get("sig") if isinstance(signature, dict) else None, "signature")
        for signer, key in trusted.items():
            if _holds(key, sealed, _pae(PAYLOAD, payload)):
                return payload, signer
    raise _FaultError("record-untrusted", "is not signed by a key that is trusted here")


def _record(value: Mapping[str, Any], subject: Digest) -> Record:
    """The record of a signed statement that is about this image and says nothing that contradicts it."""
    if value.get("_type") != STATEMENT:
        raise _FaultError("record-type", f"is {_shown(value.get('_type'))}, not {STATEMENT}")
    if value.get("predicateType") != PREDICATE:
        raise _FaultError("record-type", f"states {_shown(value.get('predicateType'))}, not {PREDICATE}")
    predicate = value.get("predicate")
    if not isinstance(predicate, dict):
        raise _FaultError("record-malformed", "has no predicate")
    try:
        record = Record.model_validate_json(canonical(predicate.get(EXTENSION)))
        datetime.fromisoformat(record.started)
        datetime.fromisoformat(record.finished)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _FaultError("record-malformed", f"has no record of ours: {place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise _FaultError("record-malformed", f"has no record of ours: {error}") from error
    if value != json.loads(statement(record)):
        raise _FaultError("record-malformed", "states something else than the record in it")
    if record.digest != str(subject):
        raise _FaultError("record-subject", f"is about {record.digest}, not about {subject}")
    return record


def _holds(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _pae(kind: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what the signature is really over."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)


def _tests(record: Record) -> dict[str, Sequence[str]]:
    """The check names as test-result has them. What could not be found out is a warning, not a pass."""
    return {
        "passedTests": record.named(Outcome.PASSED),
        "warnedTests": record.named(Outcome.INCONCLUSIVE),
        "failedTests": record.named(Outcome.FAILED),
    }


def _object(body: bytes, what: str) -> dict[str, Any]:
    """A JSON object that means one thing only: no name twice, no number that does not fit."""
    if len(body) > LARGEST:
        raise _FaultError("record-malformed", f"is too large: {what} has {len(body)} bytes")
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_unique,
            parse_int=_number,
            parse_float=_fraction,
            parse_constant=_number,
        )
    except _FaultError:
        raise
    except (ValueError, RecursionError) as error:
        raise _FaultError("record-malformed", f"cannot be read: {what} is no JSON") from error
    if not isinstance(value, dict):
        raise _FaultError("record-malformed", f"cannot be read: {what} is no JSON object")
    return value


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, item in pairs:
        if name in value:
            raise _FaultError("record-malformed", f"says {_shown(name)} twice")
        value[name] = item
    return value


def _number(text: str) -> int:
    if len(text) > DIGITS or not text.lstrip("-").isdecimal():
        raise _FaultError("record-malformed", f"has the number {_shown(text)}")
    return int(text)


def _fraction(text: str) -> float:
    if len(text) > 2 * DIGITS:
        raise _FaultError("record-malformed", f"has the number {_shown(text)}")
    return float(text)


def _unbase64(value: Any, what: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise _FaultError("record-malformed", f"cannot be read: its {what} is no base64") from error


def _shown(value: Any) -> str:
    """A stranger's value in a message of ours: short, and nothing that a terminal would obey."""
    return ascii(value)[:80]


def _age(proof: Proof) -> tuple[str, int]:
    return proof.record.finished, proof.record.attempt


def _there(manifest: Manifest | None, name: str) -> Manifest:
    if manifest is None:
        raise RegistryError(f"{name} is not in the registry", hint="build it and verify it again")
    return manifest


def _reason(code: str, text: str, subject: Digest) -> Reason:
    return Reason(code, text, f"it counts for nothing; verify the image {subject} again")
