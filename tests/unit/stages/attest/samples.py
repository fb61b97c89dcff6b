"""An image without layers, statements about it, and what others put beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from pipeline.adapters import signing_keys
from pipeline.adapters.registry import OCI_MANIFEST, Manifest
from pipeline.formats import dsse
from pipeline.model import (
    Attestations,
    Certificate,
    Digest,
    Record,
    canonical,
)
from pipeline.stages import attest
from tests import builders

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.adapters.registry import Registry

KEY, STRANGER = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
SIGNER = dsse.fingerprint(KEY.public_key())
TRUSTED = signing_keys.trusted([KEY.public_key()])
IMAGE = Manifest(
    canonical(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "x", "digest": f"sha256:{'0' * 64}", "size": 1},
            "layers": [],
        }
    ),
    OCI_MANIFEST,
)
SUBJECT = IMAGE.digest
AGAIN = f"it counts for nothing; verify the image {SUBJECT} again"


def record(second: int = 5, **changes: Any) -> Record:
    finished = f"2030-01-02T03:04:{second:02}Z"
    return builders.record(**{"digest": str(SUBJECT), "finished": finished, **changes})


def certificate(second: int = 5) -> Certificate:
    return builders.certificate(digest=str(SUBJECT), created=f"2030-01-02T03:04:{second:02}Z")


def attach(registry: Registry, bundle: bytes) -> Digest:
    return attest.attach(registry, registry.repository.at(SUBJECT), bundle)


def attestations(registry: Registry) -> Attestations:
    return attest.Evidence(TRUSTED).attestations_of(registry, SUBJECT)


def put_beside(registry: Registry, change: Callable[[dict[str, Any]], object], body: bytes = b"{}") -> Digest:
    """A referrer like ours that somebody made otherwise, in its list and under a tag of its own."""
    blob = registry.put_blob(body)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": dsse.BUNDLE,
        "config": blob.plain,
        "layers": [{**blob.plain, "mediaType": dsse.BUNDLE}],
        "subject": IMAGE.descriptor.plain,
    }
    change(document)
    return registry.put_referrer(Manifest(canonical(document), OCI_MANIFEST))


def other_layer(document: dict[str, Any]) -> None:
    document["layers"][0]["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.2+json"


def odd_layers(document: dict[str, Any]) -> None:
    document["layers"] = "none"


def names(registry: Registry, suffix: str = "") -> list[str]:
    """What a list names."""
    manifest = registry.manifest(f"sha256-{SUBJECT.hex}{suffix}")
    assert manifest
    return [one["digest"] for one in manifest.document["layers" if suffix else "manifests"]]
