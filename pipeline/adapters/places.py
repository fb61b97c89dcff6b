"""Where images lie, with what was signed of them: a repository of a registry, or a layout in a folder.

Both answer to the same methods, so that whatever judges or copies an image does not know which it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from pipeline.adapters.registry.referrers import Referrers
    from pipeline.formats.oci import Descriptor, Manifest
    from pipeline.model import Digest, Repository


class Readable(Protocol):
    """What is read of a place. Every method raises RegistryError where we could not find out."""

    @property
    def repository(self) -> Repository:
        """The repository that it is, or that it was taken from."""

    def digest_of(self, tag: str) -> Digest | None:
        """The digest of the bytes that a tag, or a digest's text, names; None without any."""

    def manifest(self, reference: Digest | str) -> Manifest | None:
        """The manifest under a digest or a tag, its bytes hashed and compared; None where there is none."""

    def blob(self, digest: Digest) -> bytes:
        """A small blob, hashed and compared."""

    def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes, -1 where that is not said; None where it is not there."""

    def stream(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of a blob of any size, in chunks, while the block lasts; their reader hashes them."""

    def tags(self, prefix: str = "") -> tuple[str, ...]:
        """Every tag that begins so, sorted."""

    def referrers(self, subject: Digest, artifact_type: str) -> Referrers:
        """What refers to a manifest."""


class Writable(Readable, Protocol):
    """What is written to a place, too."""

    def missing(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """The blobs of a manifest that are absent here, or are not what they should be."""

    def mount_or_copy_blobs(self, blobs: Iterable[Descriptor], source: Readable) -> None:
        """Have all these blobs here, in parallel."""

    def put_blob(self, body: bytes) -> Descriptor:
        """Store a small blob, unless it is there already."""

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> Digest:
        """Store a manifest under its digest, or under a tag, which then names it."""

    def put_referrer(self, manifest: Manifest) -> Digest:
        """Store a manifest that has a subject, so that it is found from there."""
