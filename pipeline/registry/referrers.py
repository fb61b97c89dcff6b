"""What refers to a manifest: the signed statements beside an image, among others.

A registry either keeps referrers itself, or they are listed under a fallback tag that all writers share.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pipeline.errors import RegistryError
from pipeline.nouns import Digest, canonical
from pipeline.registry.documents import EMPTY, OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, not_understood
from pipeline.registry.requests import MANY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.registry.client import Registry


def attach(
    registry: Registry,
    subject: Descriptor,
    artifact_type: str,
    body: bytes,
    annotations: Mapping[str, str],
) -> Digest:
    """Store ``body`` beside its subject, as a referrer; the digest is that of its manifest.

    The subject itself need not be there yet.
    """
    empty, blob = registry.put_blob(b"{}"), registry.put_blob(body)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": {**empty.plain, "mediaType": EMPTY},
        "layers": [{**blob.plain, "mediaType": artifact_type}],
        "subject": subject.plain,
        "annotations": dict(annotations),
    }
    return put(registry, Manifest(canonical(document), OCI_MANIFEST))


def put(registry: Registry, manifest: Manifest) -> Digest:
    """Store a manifest that has a subject, so that it is found from there. Its blobs are here already.

    Where the registry does not keep referrers itself, the fallback tag lists them.
    """
    subject = manifest.subject
    if subject is None:
        raise not_understood(manifest)
    answer = registry.store(manifest)
    if "OCI-Subject" not in answer.headers:
        document = manifest.document
        entry = {**manifest.descriptor.plain, "artifactType": document.get("artifactType", "")}
        if document.get("annotations"):
            entry["annotations"] = document["annotations"]
        empty = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        enlist(registry, _fallback(subject), "manifests", entry, empty)
    return manifest.digest


def enlist(
    registry: Registry, tag: str, member: str, entry: Mapping[str, Any], empty: Mapping[str, Any]
) -> None:
    """Add an entry to the list ``member`` of the manifest under a tag, whoever else does so as well.

    A registry cannot compare and swap, so the last writer wins. We write, wait longer than a
    writer takes, and read again, until two readings in a row still have our entry.
    """
    deadline = time.monotonic() + registry.patience
    seen, wrote = 0, False
    while time.monotonic() < deadline:
        began = time.monotonic()
        current = registry.manifest(tag)
        document = current.document if current else empty
        entries = entries_of(document, member)
        if any(isinstance(one, dict) and one.get("digest") == entry["digest"] for one in entries):
            seen += 1
            if seen > wrote:
                return
        else:
            seen, wrote = 0, True
            media_type = current.media_type if current else str(empty["mediaType"])
            body = canonical({**document, member: [*entries, dict(entry)]})
            registry.put_manifest(Manifest(body, media_type), tag)
        took = time.monotonic() - began
        time.sleep(max(0.05, 4 * took) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter is no secret
    raise RegistryError(
        f"{registry.repository}:{tag}: our entry {entry['digest']} did not stay in the list for"
        f" {registry.patience:.0f} s",
        hint="others write there at the same time; run the same command again",
    )


def listed(registry: Registry, digest: Digest, artifact_type: str) -> tuple[Descriptor, ...]:
    """What was attached to this digest, from the referrers API and from the fallback tag, each once."""
    found: dict[Digest, Descriptor] = {}
    pages = list(registry.pages(f"/referrers/{digest}?artifactType={artifact_type.replace('+', '%2B')}"))
    fallback = registry.manifest(_fallback(digest))
    for page in (*pages, fallback.document if fallback else {}):
        for value in entries_of(page, "manifests"):
            with suppress(AttributeError, KeyError, TypeError, ValueError):
                descriptor = Descriptor.read(value)
                if descriptor.artifact_type in ("", artifact_type):
                    found.setdefault(descriptor.digest, descriptor)
    return tuple(found.values())[-MANY:]


def _fallback(digest: Digest) -> str:
    """The tag under which referrers are listed where the registry does not keep them itself."""
    return f"sha256-{digest.hex}"


def entries_of(document: Mapping[str, Any], member: str) -> list[Any]:
    """A list in a document of a stranger; empty where there is none."""
    value = document.get(member)
    return list(value) if isinstance(value, list) else []
