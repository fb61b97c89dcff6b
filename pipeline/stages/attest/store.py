"""Where signed statements lie: beside their image in the registry, as OCI referrers.

Each is stored as a sigstore bundle v0.3 that refers to the image, and once more in the list where older
versions of cosign look for it. What is found is not trusted: what is wrong with it is a Reason.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.adapters.registry import OCI_MANIFEST, ContentError, Manifest
from pipeline.adapters.registry.referrers import complete_fallback, complete_list, obstructed, read_list
from pipeline.formats import dsse
from pipeline.formats.dsse import (
    BUNDLE,
    ENVELOPE,
    MAX_BUNDLE_BYTES,
    Envelope,
    InvalidAttestationError,
    envelope_of,
)
from pipeline.model import Attestations, Certified, Digest, Proof, Reason, ReasonCode, canonical
from pipeline.model.errors import RegistryError
from pipeline.stages.attest.certificates import CERTIFICATE, certificate_of
from pipeline.stages.attest.records import record_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.adapters.registry import Descriptor, Registry
    from pipeline.adapters.registry.referrers import Referrers, SharedList
    from pipeline.formats.dsse import PublicKey
    from pipeline.model import ImageRef

PARALLEL = 8


@dataclass(frozen=True)
class Carried:
    """One referrer as it was fetched: the digest of its manifest, and the bundle in it, or what is wrong."""

    manifest: Digest
    bundle: bytes = b""
    fault: Reason | None = None


def attach(registry: Registry, ref: ImageRef, bundle: bytes) -> Digest:
    """Store a bundle beside its image, in every list; the digest is that of the bundle's manifest.

    Raises RegistryError where the image is not there or the registry does not take it.
    """
    subject = _there(registry.manifest(ref.digest), f"{ref}").descriptor
    notes = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": _ours(bundle).predicate,
    }
    digest = registry.attach(subject, BUNDLE, bundle, notes)
    complete_lists(registry, ref.digest)
    return digest


def copy(
    found: Sequence[Proof | Certified], source: Registry, destination: Registry, subject: Digest
) -> None:
    """Store the very bytes of statements in another repository too, and list all that lie there.

    The image need not be there yet. Raises RegistryError where one of the two registries does not answer or
    does not take it.
    """
    for one in found:
        manifest = _there(source.manifest(one.manifest), f"{source.repository}@{one.manifest}")
        destination.put_blob(source.blob(manifest.config.digest))
        destination.put_blob(source.blob(manifest.layers[0].digest))
        destination.put_referrer(manifest)
    complete_lists(destination, subject)


def attestations_of(registry: Registry, digest: Digest, trusted: Mapping[str, PublicKey]) -> Attestations:
    """The signed statements that lie beside an image.

    ``trusted`` maps fingerprints to the public keys whose statements count. Raises RegistryError where
    the registry does not answer, or where more lies there than is read; a statement that is broken or
    forged is a reason.
    """
    referrers = registry.referrers(digest, BUNDLE)
    carried = fetched(registry, referrers, digest)
    found = [understood(one, digest, trusted) for one in carried]
    proofs = [one for one in found if isinstance(one, Proof)]
    certificates = [one for one in found if isinstance(one, Certified)]
    statements: list[Proof | Certified] = [*proofs, *certificates]
    older = older_list(registry, digest) if statements else None
    return Attestations(
        tuple(sorted(proofs, key=lambda one: one.order, reverse=True)),
        tuple(sorted(certificates, key=lambda one: one.order, reverse=True)),
        (*(one for one in found if isinstance(one, Reason)), *_strange(registry, digest, referrers, older)),
        _missing(carried, statements),
        _unlisted(carried, {one.manifest for one in statements}, referrers, older),
    )


def read(
    bundle: bytes, subject: Digest, trusted: Mapping[str, PublicKey], *, manifest: Digest
) -> Proof | Certified | Reason:
    """What these bytes say of this image, or why they say nothing.

    ``manifest`` is the digest of the manifest that carries them.
    """
    try:
        value, signer = dsse.verify(bundle, trusted)
        if value.get("predicateType") == CERTIFICATE:
            certificate, links = certificate_of(value, subject)
            return Certified(certificate, signer, manifest, links)
        record, links = record_of(value, subject)
        return Proof(record, signer, manifest, links)
    except InvalidAttestationError as fault:
        return _reason(fault.code, f"the record {manifest} {fault.text}", subject)


def complete_lists(registry: Registry, subject: Digest) -> None:
    """Have both lists name every statement: the referrers', and the one where cosign looks by default.

    Raises ContentError where something else lies under their tags: it is not ours to overwrite.
    """
    complete_fallback(registry, subject, BUNDLE)

    def look() -> tuple[SharedList, list[dict[str, Any]]]:
        carried = fetched(registry, registry.referrers(subject, BUNDLE), subject)
        current = older_list(registry, subject)
        lacking = {} if current.obstacle else _lacking(carried, current)
        for envelope in lacking.values():
            registry.put_blob(envelope.body)
        if lacking:
            registry.put_blob(_OLDER_CONFIG)
        return current, [_entry(envelope) for envelope in lacking.values()]

    complete_list(registry, subject, look)


_OLDER_CONFIG = canonical({"architecture": "", "os": "", "rootfs": {"type": "layers"}})
"""The configuration that cosign gives to its lists."""

_OLDER_EMPTY = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": str(Digest.of(_OLDER_CONFIG)),
        "size": len(_OLDER_CONFIG),
    },
    "layers": [],
}


def fetched(registry: Registry, referrers: Referrers, subject: Digest) -> list[Carried]:
    """Every referrer of an image with its bundle, in no order."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda one: _fetch(registry, one, subject), referrers.descriptors))


def older_list(registry: Registry, subject: Digest) -> SharedList:
    """The list that older versions of cosign read."""
    return read_list(registry, f"sha256-{subject.hex}.att", "layers", _OLDER_EMPTY)


def _fetch(registry: Registry, referrer: Descriptor, subject: Digest) -> Carried:
    """One referrer, from descriptor to bundle."""
    name = f"the record {referrer.digest}"

    def fault(code: ReasonCode, text: str) -> Carried:
        return Carried(referrer.digest, fault=_reason(code, f"{name} {text}", subject))

    if referrer.size > MAX_BUNDLE_BYTES:
        return fault(ReasonCode.RECORD_MALFORMED, f"has a manifest of {referrer.size} bytes")
    try:
        manifest = registry.manifest(referrer.digest)
        if manifest is None:
            return fault(ReasonCode.RECORD_MISSING, "is listed but not in the registry")
        layers = manifest.layers
        if len(layers) != 1 or layers[0].media_type != BUNDLE or layers[0].size > MAX_BUNDLE_BYTES:
            return fault(ReasonCode.RECORD_MALFORMED, "does not hold one bundle of sigstore")
        return Carried(manifest.digest, registry.blob(layers[0].digest))
    except ContentError as error:
        return fault(ReasonCode.RECORD_MALFORMED, f"cannot be read: {error.what}")


def understood(
    carried: Carried, subject: Digest, trusted: Mapping[str, PublicKey]
) -> Proof | Certified | Reason:
    """What a referrer that was fetched says of the image, or why it says nothing."""
    return carried.fault or read(carried.bundle, subject, trusted, manifest=carried.manifest)


def _missing(carried: Sequence[Carried], statements: Sequence[Proof | Certified]) -> tuple[Digest, ...]:
    """What trusted statements name and what is gone, unless the image was tried again without it."""
    there = {one.manifest for one in carried if one.bundle}
    known = {digest for one in statements if isinstance(one, Proof) for digest in one.links.lost}
    named = {digest for one in statements for digest in one.links.follows}
    return tuple(sorted(named - there - known))


def _unlisted(
    carried: Sequence[Carried], trusted: set[Digest], referrers: Referrers, older: SharedList | None
) -> tuple[Digest, ...]:
    """The trusted statements that one of the lists lacks by which others find them."""
    hidden = {manifest.digest for manifest in referrers.unlisted}
    lacking = _lacking(carried, older) if older else {}
    return tuple(sorted(trusted & (hidden | lacking.keys())))


def _lacking(carried: Sequence[Carried], older: SharedList) -> dict[Digest, Envelope]:
    """The envelopes that the older list lacks, by the manifest that carries each."""
    envelopes = {one.manifest: envelope_of(one.bundle) for one in carried}
    return {
        manifest: envelope
        for manifest, envelope in envelopes.items()
        if envelope and str(Digest.of(envelope.body)) not in older.digests
    }


def _strange(
    registry: Registry, subject: Digest, referrers: Referrers, older: SharedList | None
) -> Iterator[Reason]:
    """What else lies where statements or their lists should."""
    for text in referrers.broken:
        yield _reason(ReasonCode.RECORD_MALFORMED, text, subject)
    for found in filter(None, (referrers.fallback, older)):
        if found.obstacle:
            error = obstructed(registry, subject, found)
            yield Reason(ReasonCode.LIST_FOREIGN, error.what, error.hint)


def _entry(envelope: Envelope) -> dict[str, Any]:
    """How the older list names a statement: by its envelope alone."""
    return {
        "mediaType": ENVELOPE,
        "digest": str(Digest.of(envelope.body)),
        "size": len(envelope.body),
        "annotations": {"dev.cosignproject.cosign/signature": "", "predicateType": envelope.predicate},
    }


def _ours(bundle: bytes) -> Envelope:
    """The envelope of a bundle that we made."""
    envelope = envelope_of(bundle)
    if envelope is None:
        raise ValueError("no bundle of ours: it holds no statement")
    return envelope


def _there(manifest: Manifest | None, name: str) -> Manifest:
    if manifest is None:
        raise RegistryError(f"{name} is not in the registry", hint="build it and verify it again")
    return manifest


def _reason(code: ReasonCode, text: str, subject: Digest) -> Reason:
    return Reason(code, text, f"it counts for nothing; verify the image {subject} again")
