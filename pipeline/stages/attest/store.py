"""The attestations of an image in a registry: OCI referrers of its manifest.

Each is stored as a sigstore bundle v0.3 that refers to the image, and once more in the list where for_cosign
versions of cosign look for it. Nothing there is trusted: what is wrong with an attestation is a Reason.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline.adapters.registry import OCI_MANIFEST, ContentError, Manifest, Registry
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
from pipeline.model import (
    Attestations,
    Certified,
    Declared,
    Digest,
    Documented,
    Proof,
    Reason,
    ReasonCode,
    Rehearsed,
    Scanned,
    canonical,
)
from pipeline.model.errors import RegistryError
from pipeline.stages.attest.certificates import CERTIFICATE, certificate_of
from pipeline.stages.attest.documents import KINDS, document_of
from pipeline.stages.attest.records import record_of
from pipeline.stages.attest.rehearsals import REHEARSAL, rehearsal_of
from pipeline.stages.attest.scans import PREDICATES as SCANS
from pipeline.stages.attest.scans import scan_of
from pipeline.stages.attest.transitions import TRANSITION, transition_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.adapters.places import Readable, Writable
    from pipeline.adapters.registry import Descriptor
    from pipeline.adapters.registry.referrers import Referrers, SharedList
    from pipeline.formats.dsse import PublicKey
    from pipeline.model import ImageRef, Signed, Signer, Statement

PARALLEL = 8

NO_TERMS: Mapping[str, Sequence[Signer]] = MappingProxyType({})
"""Of keys that count whenever they signed."""


@dataclass(frozen=True)
class FetchedBundle:
    """A referrer: the digest of its manifest, and the bundle in it, or why there is none."""

    manifest: Digest
    body: bytes = b""
    fault: Reason | None = None


def attach(registry: Registry, ref: ImageRef, bundle: bytes) -> Digest:
    """Store a bundle as a referrer of its image, in every list; returns the digest of the bundle's manifest.

    Raises RegistryError where the image is not there or the registry does not take it.
    """
    subject = _present(registry.manifest(ref.digest), f"{ref}").descriptor
    notes = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": _own_envelope(bundle).predicate,
    }
    digest = registry.attach(subject, BUNDLE, bundle, notes)
    complete_lists(registry, ref.digest)
    return digest


def copy(statements: Sequence[Signed], source: Registry, destination: Registry, subject: Digest) -> None:
    """Store the very bytes of statements in another repository too, and complete the lists there.

    The image need not be there yet. Raises RegistryError where one of the two registries does not answer or
    does not take it.
    """
    for statement in statements:
        name = f"{source.repository}@{statement.manifest}"
        manifest = _present(source.manifest(statement.manifest), name)
        destination.put_blob(source.blob(manifest.config.digest))
        destination.put_blob(source.blob(manifest.layers[0].digest))
        destination.put_referrer(manifest)
    complete_lists(destination, subject)


def copy_all(source: Readable, destination: Writable, subject: Digest) -> int:
    """Store the very bytes of every bundle beside an image in another place too, whoever signed it.

    Whom somebody trusts is their own matter, there too. The lists of a registry are completed; a layout has
    none but its index. Returns how many were not there. Raises RegistryError where one of the two does not
    answer, or does not take it.
    """
    present = {referrer.digest for referrer in destination.referrers(subject, BUNDLE).descriptors}
    bundles = fetch_bundles(source, source.referrers(subject, BUNDLE), subject)
    lacking = [bundle for bundle in bundles if bundle.body and bundle.manifest not in present]
    for bundle in lacking:
        manifest = _present(source.manifest(bundle.manifest), f"{source.repository}@{bundle.manifest}")
        destination.put_blob(source.blob(manifest.config.digest))
        destination.put_blob(bundle.body)
        destination.put_referrer(manifest)
    if bundles and isinstance(destination, Registry):
        complete_lists(destination, subject)
    return len(lacking)


def attestations_of(
    registry: Readable,
    digest: Digest,
    trusted: Mapping[str, PublicKey],
    terms: Mapping[str, Sequence[Signer]] = NO_TERMS,
) -> Attestations:
    """The attestations of an image.

    ``trusted`` maps fingerprints to the public keys whose statements count, ``terms`` to when they do. Raises
    RegistryError where the registry does not answer, or where there are more than are read; a statement that
    is broken or forged is a reason.
    """
    referrers = registry.referrers(digest, BUNDLE)
    bundles = fetch_bundles(registry, referrers, digest)
    found = attestations_in(bundles, digest, trusted, terms)
    for_cosign = cosign_list(registry, digest) if found.signed else None
    return replace(
        found,
        rejected=(*found.rejected, *_foreign(registry, digest, referrers, for_cosign)),
        unlisted=_unlisted(bundles, {one.manifest for one in found.signed}, referrers, for_cosign),
    )


def attestations_in(
    bundles: Sequence[FetchedBundle],
    subject: Digest,
    trusted: Mapping[str, PublicKey],
    terms: Mapping[str, Sequence[Signer]] = NO_TERMS,
) -> Attestations:
    """What these bundles say of an image, who signed the others, and which statements are gone."""
    attestations = [_within(attestation_in(bundle, subject, trusted), subject, terms) for bundle in bundles]
    proofs = [proof for proof in attestations if isinstance(proof, Proof)]
    certificates = [certified for certified in attestations if isinstance(certified, Certified)]
    rehearsals = [rehearsed for rehearsed in attestations if isinstance(rehearsed, Rehearsed)]
    transitions = [declared for declared in attestations if isinstance(declared, Declared)]
    documents = [documented for documented in attestations if isinstance(documented, Documented)]
    scans = [scanned for scanned in attestations if isinstance(scanned, Scanned)]
    strange = (
        dsse.key_named_in(bundle.body)
        for bundle, found in zip(bundles, attestations, strict=True)
        if isinstance(found, Reason) and found.code is ReasonCode.RECORD_UNTRUSTED
    )
    return Attestations(
        tuple(sorted(proofs, key=lambda proof: proof.order, reverse=True)),
        tuple(sorted(certificates, key=lambda certified: certified.order, reverse=True)),
        tuple(reason for reason in attestations if isinstance(reason, Reason)),
        missing=_missing(bundles, [*proofs, *certificates, *rehearsals, *transitions, *scans]),
        rehearsals=tuple(sorted(rehearsals, key=lambda rehearsed: rehearsed.order, reverse=True)),
        strangers=tuple(dict.fromkeys(strange)),
        transitions=tuple(sorted(transitions, key=lambda declared: declared.order, reverse=True)),
        documents=tuple(sorted(documents, key=lambda documented: documented.order, reverse=True)),
        scans=tuple(sorted(scans, key=lambda scanned: scanned.order, reverse=True)),
    )


def _within(
    found: Signed | Reason, subject: Digest, terms: Mapping[str, Sequence[Signer]]
) -> Signed | Reason:
    """What was signed, unless its signer's key did not count on the day of it."""
    if isinstance(found, Reason) or found.signer not in terms:
        return found
    entries = terms[found.signer]
    if any(entry.covers(found.day) for entry in entries):
        return found
    bounds = " or ".join(f"{entry.name} {entry.term}" for entry in entries)
    text = f"the record {found.manifest} is of {found.day}, and what {found.signer} signed counts as {bounds}"
    return _reason(ReasonCode.RECORD_OUT_OF_TERM, text, subject)


def read(
    bundle: bytes, subject: Digest, trusted: Mapping[str, PublicKey], *, manifest: Digest
) -> Signed | Reason:
    """The attestation of this image in a bundle, or why it is rejected.

    ``manifest`` is the digest of the manifest that carries them.
    """
    try:
        value, signer = dsse.verify(bundle, trusted)
        if value.get("predicateType") == CERTIFICATE:
            certificate, links = certificate_of(value, subject)
            return Certified(certificate, signer, manifest, links)
        if value.get("predicateType") == REHEARSAL:
            rehearsal, links = rehearsal_of(value, subject)
            return Rehearsed(rehearsal, signer, manifest, links)
        if value.get("predicateType") == TRANSITION:
            transition, links = transition_of(value, subject)
            return Declared(transition, signer, manifest, links)
        if value.get("predicateType") in SCANS:
            scan, links = scan_of(value, subject)
            return Scanned(scan, signer, manifest, links)
        if value.get("predicateType") in KINDS:
            return Documented(document_of(value, subject), signer, manifest)
        record, links = record_of(value, subject)
        return Proof(record, signer, manifest, links)
    except InvalidAttestationError as fault:
        return _reason(fault.code, f"the record {manifest} {fault.text}", subject)


def complete_lists(registry: Registry, subject: Digest) -> None:
    """Have both lists name every statement: the referrers', and the one where cosign looks by default.

    Raises ContentError where their tags name something else: it is not ours to overwrite.
    """
    complete_fallback(registry, subject, BUNDLE)

    def look() -> tuple[SharedList, list[dict[str, Any]]]:
        bundles = fetch_bundles(registry, registry.referrers(subject, BUNDLE), subject)
        current = cosign_list(registry, subject)
        lacking = {} if current.obstacle else _lacking(bundles, current)
        for envelope in lacking.values():
            registry.put_blob(envelope.body)
        if lacking:
            registry.put_blob(COSIGN_CONFIG)
        return current, [_entry(envelope) for envelope in lacking.values()]

    complete_list(registry, subject, look)


COSIGN_CONFIG = canonical({"architecture": "", "os": "", "rootfs": {"type": "layers"}})
"""The configuration that cosign gives to its lists."""

COSIGN_EMPTY = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": str(Digest.of(COSIGN_CONFIG)),
        "size": len(COSIGN_CONFIG),
    },
    "layers": [],
}
"""A list of cosign's, of statements or of signatures, that names nothing."""


def fetch_bundles(registry: Readable, referrers: Referrers, subject: Digest) -> list[FetchedBundle]:
    """The bundle of every referrer of an image, in the order of the referrers."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda referrer: _fetch(registry, referrer, subject), referrers.descriptors))


def cosign_list(registry: Readable, subject: Digest) -> SharedList:
    """The list that older versions of cosign read."""
    return read_list(registry, f"sha256-{subject.hex}.att", "layers", COSIGN_EMPTY)


def _fetch(registry: Readable, referrer: Descriptor, subject: Digest) -> FetchedBundle:
    """One referrer, from descriptor to bundle."""
    name = f"the record {referrer.digest}"

    def fault(code: ReasonCode, text: str) -> FetchedBundle:
        return FetchedBundle(referrer.digest, fault=_reason(code, f"{name} {text}", subject))

    if referrer.size > MAX_BUNDLE_BYTES:
        return fault(ReasonCode.RECORD_MALFORMED, f"has a manifest of {referrer.size} bytes")
    try:
        manifest = registry.manifest(referrer.digest)
        if manifest is None:
            return fault(ReasonCode.RECORD_MISSING, "is listed but not in the registry")
        layers = manifest.layers
        if len(layers) != 1 or layers[0].media_type != BUNDLE or layers[0].size > MAX_BUNDLE_BYTES:
            return fault(ReasonCode.RECORD_MALFORMED, "does not hold one bundle of sigstore")
        return FetchedBundle(manifest.digest, registry.blob(layers[0].digest))
    except ContentError as error:
        return fault(ReasonCode.RECORD_MALFORMED, f"cannot be read: {error.what}")


def attestation_in(
    bundle: FetchedBundle, subject: Digest, trusted: Mapping[str, PublicKey]
) -> Signed | Reason:
    """The attestation of this image in a referrer, or why it is rejected."""
    return bundle.fault or read(bundle.body, subject, trusted, manifest=bundle.manifest)


def _missing(bundles: Sequence[FetchedBundle], statements: Sequence[Statement]) -> tuple[Digest, ...]:
    """The digests that trusted statements name and that are gone, unless a later trial names them as lost."""
    present = {bundle.manifest for bundle in bundles if bundle.body}
    lost = {digest for proof in statements if isinstance(proof, Proof) for digest in proof.links.lost}
    named = {digest for statement in statements for digest in statement.links.follows}
    return tuple(sorted(named - present - lost))


def _unlisted(
    bundles: Sequence[FetchedBundle],
    trusted: set[Digest],
    referrers: Referrers,
    for_cosign: SharedList | None,
) -> tuple[Digest, ...]:
    """The trusted statements that one of the lists lacks."""
    hidden = {manifest.digest for manifest in referrers.unlisted}
    lacking = _lacking(bundles, for_cosign) if for_cosign else {}
    return tuple(sorted(trusted & (hidden | lacking.keys())))


def _lacking(bundles: Sequence[FetchedBundle], for_cosign: SharedList) -> dict[Digest, Envelope]:
    """The envelopes that cosign's list lacks, by the manifest that carries each."""
    envelopes = {bundle.manifest: envelope_of(bundle.body) for bundle in bundles}
    return {
        manifest: envelope
        for manifest, envelope in envelopes.items()
        if envelope and str(Digest.of(envelope.body)) not in for_cosign.digests
    }


def _foreign(
    registry: Readable, subject: Digest, referrers: Referrers, for_cosign: SharedList | None
) -> Iterator[Reason]:
    """Why a tag of a statement or a list names none."""
    for text in referrers.broken:
        yield _reason(ReasonCode.RECORD_MALFORMED, text, subject)
    for shared in filter(None, (referrers.fallback, for_cosign)):
        if shared.obstacle:
            error = obstructed(registry, subject, shared)
            yield Reason(ReasonCode.LIST_FOREIGN, error.what, error.hint)


def _entry(envelope: Envelope) -> dict[str, Any]:
    """How cosign's list names a statement: by its envelope alone."""
    return {
        "mediaType": ENVELOPE,
        "digest": str(Digest.of(envelope.body)),
        "size": len(envelope.body),
        "annotations": {"dev.cosignproject.cosign/signature": "", "predicateType": envelope.predicate},
    }


def _own_envelope(bundle: bytes) -> Envelope:
    """The envelope of a bundle that we made."""
    envelope = envelope_of(bundle)
    if envelope is None:
        raise ValueError("no bundle of ours: it holds no statement")
    return envelope


def _present(manifest: Manifest | None, name: str) -> Manifest:
    if manifest is None:
        raise RegistryError(f"{name} is not in the registry", hint="build it and verify it again")
    return manifest


def _reason(code: ReasonCode, text: str, subject: Digest) -> Reason:
    return Reason(code, text, f"it counts for nothing; verify the image {subject} again")
