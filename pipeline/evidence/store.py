"""Where signed statements lie: beside their image in the registry, as OCI referrers.

Each is stored as a sigstore bundle v0.3 that refers to the image, and once more under the tag where older
versions of cosign look for it. What is found is not trusted: what is wrong with it is a Reason.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.evidence.certificates import CERTIFICATE, certificate_of
from pipeline.evidence.envelope import BUNDLE, ENVELOPE, LARGEST, FaultError, opened, predicate_type
from pipeline.evidence.records import record_of
from pipeline.nouns import Certified, Digest, Proof, Reason, canonical
from pipeline.registry import OCI_MANIFEST, ContentError, Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.keys import PublicKey
    from pipeline.nouns import ImageRef
    from pipeline.registry import Descriptor, Registry

PARALLEL = 8


@dataclass(frozen=True)
class Beside:
    """What lies beside an image, the newest first; and why anything else there counts for nothing."""

    proofs: tuple[Proof, ...] = ()
    certificates: tuple[Certified, ...] = ()
    worthless: tuple[Reason, ...] = ()


def attach(registry: Registry, ref: ImageRef, bundle: bytes) -> Digest:
    """Store a bundle beside its image, both ways; the digest is that of the bundle's manifest.

    Raises RegistryError where the image is not there or the registry does not take it.
    """
    subject = _there(registry.manifest(ref.digest), f"{ref}").descriptor
    notes = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": predicate_type(bundle),
    }
    digest = registry.attach(subject, BUNDLE, bundle, notes)
    _attach_for_older_cosign(registry, ref.digest, bundle)
    return digest


def copy(found: Proof | Certified, source: Registry, destination: Registry) -> None:
    """Store the very bytes of a statement in another repository too. The image need not be there yet.

    Raises RegistryError where one of the two registries does not answer or does not take it.
    """
    manifest = _there(source.manifest(found.manifest), f"{source.repository}@{found.manifest}")
    bundle = source.blob(manifest.layers[0].digest)
    destination.put_blob(source.blob(manifest.config.digest))
    destination.put_blob(bundle)
    destination.put_referrer(manifest)
    _attach_for_older_cosign(destination, found.subject, bundle)


def beside(registry: Registry, digest: Digest, trusted: Mapping[str, PublicKey]) -> Beside:
    """The signed statements that lie beside an image.

    ``trusted`` maps fingerprints to the public keys whose statements count. Raises RegistryError where
    the registry does not answer; a statement that is broken or forged is a reason.
    """
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(
            pool.map(
                lambda one: _fetch(registry, one, digest, trusted),
                registry.referrers(digest, BUNDLE),
            )
        )
    proofs = (one for one in found if isinstance(one, Proof))
    certificates = (one for one in found if isinstance(one, Certified))
    return Beside(
        tuple(sorted(proofs, key=lambda one: (one.record.finished, one.record.attempt), reverse=True)),
        tuple(sorted(certificates, key=lambda one: one.certificate.created, reverse=True)),
        tuple(one for one in found if isinstance(one, Reason)),
    )


def read(
    bundle: bytes, subject: Digest, trusted: Mapping[str, PublicKey], *, manifest: Digest
) -> Proof | Certified | Reason:
    """What these bytes say of this image, or why they say nothing.

    ``manifest`` is the digest of the manifest that carries them.
    """
    try:
        value, signer = opened(bundle, trusted)
        if value.get("predicateType") == CERTIFICATE:
            return Certified(certificate_of(value, subject), signer, manifest)
        return Proof(record_of(value, subject), signer, manifest)
    except FaultError as fault:
        return _reason(fault.code, f"the record {manifest} {fault.text}", subject)


def _fetch(
    registry: Registry, referrer: Descriptor, subject: Digest, trusted: Mapping[str, PublicKey]
) -> Proof | Certified | Reason:
    """One referrer, from descriptor to what it says."""
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


def _attach_for_older_cosign(registry: Registry, subject: Digest, bundle: bytes) -> None:
    """Add the envelope alone to the list under ``sha256-….att``, where cosign looks by default."""
    layer = registry.put_blob(canonical(json.loads(bundle)["dsseEnvelope"]))
    config = registry.put_blob(canonical({"architecture": "", "os": "", "rootfs": {"type": "layers"}}))
    entry = {
        **layer.plain,
        "mediaType": ENVELOPE,
        "annotations": {"dev.cosignproject.cosign/signature": "", "predicateType": predicate_type(bundle)},
    }
    empty = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {**config.plain, "mediaType": "application/vnd.oci.image.config.v1+json"},
        "layers": [],
    }
    registry.enlist(f"sha256-{subject.hex}.att", "layers", entry, empty)


def _there(manifest: Manifest | None, name: str) -> Manifest:
    if manifest is None:
        raise RegistryError(f"{name} is not in the registry", hint="build it and verify it again")
    return manifest


def _reason(code: str, text: str, subject: Digest) -> Reason:
    return Reason(code, text, f"it counts for nothing; verify the image {subject} again")
