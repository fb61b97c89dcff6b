"""What one repository of a registry holds: manifests, blobs and tags, read and written."""

from __future__ import annotations

import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import httpx

from pipeline.adapters.registry import uploads
from pipeline.adapters.registry.responses import check_digest, digest_in, error_for
from pipeline.adapters.registry.session import Session
from pipeline.adapters.registry.transport import PARALLEL
from pipeline.adapters.web.retries import TransientError
from pipeline.formats.image_config import ConfigFile
from pipeline.formats.oci import (
    EMPTY,
    INDEXES,
    MANIFESTS,
    OCI_MANIFEST,
    ContentError,
    Descriptor,
    Manifest,
    entries_of,
    not_understood,
)
from pipeline.model import PROJECT, Digest, ImageRef, Repository, canonical
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from pipeline.adapters.places import Readable
    from pipeline.adapters.registry.responses import Response
    from pipeline.adapters.web.deadline import Bounds
    from pipeline.formats.image_config import ImageConfig

PAGE_ENTRIES = 1000
"""Tags that are asked for in one page."""

REMOVED = f"application/vnd.{PROJECT}.removed"
"""The type of the manifest that a tag names for a moment, so that the tag can be removed."""

BROKEN_SECONDS = 2.0
"""Seconds of failing to find one blob after which it counts as absent. Ten at once take no longer."""

_BROKEN = (500, 502, 503, 504)
"""What a registry answers for a blob that its storage holds damaged."""


class Contents:
    """The manifests, blobs and tags of one repository. Connections are shared by all of the same host.

    ``patience`` is the number of seconds for which one request is repeated while the registry is
    away or busy; ``bounds`` are for whoever has no time for more. Every method raises RegistryError where we
    could not find out or could not write.
    """

    def __init__(
        self, repository: Repository, *, patience: float | None = None, bounds: Bounds | None = None
    ) -> None:
        self.repository = repository
        self._session = Session(repository, patience, bounds)
        self.patience = self._session.retries.seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close: the connections belong to the host, and end with the process."""

    def __repr__(self) -> str:
        return f"Registry({self.repository})"

    # -- reading ----------------------------------------------------------------------------------

    def digest_of(self, tag: str) -> Digest | None:
        """The digest of the bytes that this tag (or this digest's text) names; None without any.

        The bytes are hashed: what a registry says of a digest decides nothing. Raises ContentError where it
        says another than they have.
        """
        response = self._session.ask("GET", f"/manifests/{tag}", ok=(200, 404), headers=_accept(MANIFESTS))
        if response.status == httpx.codes.NOT_FOUND:
            return None
        digest = Digest.of(response.body)
        header = response.headers.get("Docker-Content-Digest", str(digest))
        check_digest(digest_in(header, response), digest, response)
        return digest

    def manifest(self, reference: Digest | str) -> Manifest | None:
        """The manifest under a digest or a tag, its bytes hashed and compared; None where there is none."""
        response = self._session.ask(
            "GET", f"/manifests/{reference}", ok=(200, 404), headers=_accept(MANIFESTS)
        )
        if response.status == httpx.codes.NOT_FOUND:
            return None
        manifest = Manifest(response.body, response.headers.get("Content-Type", "").partition(";")[0].strip())
        header = response.headers.get("Docker-Content-Digest", str(manifest.digest))
        expected = reference if isinstance(reference, Digest) else digest_in(header, response)
        check_digest(expected, manifest.digest, response)
        if manifest.media_type not in MANIFESTS:
            raise not_understood(manifest)
        return manifest

    def config(self, ref: ImageRef) -> ImageConfig:
        """The configuration of an image. Raises RegistryError also where the image is not there."""
        manifest = self.manifest(ref.digest)
        if manifest is None:
            raise RegistryError(f"{ref} is not in the registry", hint="build it again, then verify it")
        body = self.blob(manifest.config.digest)
        try:
            return ConfigFile.read(body).image_config
        except ValueError as error:
            raise not_understood(manifest) from error

    def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes, -1 where the registry does not say; None where it is not there.

        One that the registry goes on failing to find, and is well otherwise, is not there: a disk that was
        full when the blob came leaves such a one, which is healed by storing it again.
        """
        broken_after = time.monotonic() + min(BROKEN_SECONDS, self.patience / 3)

        def once() -> Response:
            response = self._session.once(
                "HEAD", f"{self._session.root}/blobs/{digest}", (200, 404, *_BROKEN)
            )
            if response.status in _BROKEN and (
                time.monotonic() < broken_after or not self._session.is_well()
            ):
                raise error_for(response, self.repository.host)
            return response

        response = self._session.retry(once)
        return _length(response) if response.status == httpx.codes.OK else None

    def has_blob(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        return self.blob_size(digest) is not None

    def blob(self, digest: Digest) -> bytes:
        """A small blob, hashed and compared. Raises RegistryError also where it is absent or large."""
        response = self._session.ask("GET", f"/blobs/{digest}", ok=(200, 404))
        if response.status == httpx.codes.NOT_FOUND:
            raise ContentError(f"{self.repository} lacks the blob {digest}", hint="push the image again")
        check_digest(digest, Digest.of(response.body), response)
        return response.body

    @contextmanager
    def stream(self, blob: Descriptor) -> Generator[Iterator[bytes]]:
        """The bytes of a blob of any size, in chunks, while the block lasts.

        Where the connection breaks, they go on from there. They are not hashed here: compare the digest
        when all have come. More than one chunk too many never comes. Raises RegistryError.
        """
        with closing(self._session.download(blob.digest, blob.size)) as chunks:
            yield chunks

    def tags(self, prefix: str = "") -> tuple[str, ...]:
        """Every tag of the repository that begins so, sorted; none where the repository does not exist.

        Registries list tags in their order, and may begin after one: so hardly more is read than needed.
        """
        names: set[str] = set()
        start = f"&last={prefix[:-1]}" if prefix[1:] else ""
        for page in self.pages(f"/tags/list?n={PAGE_ENTRIES}{start}"):
            listed = [str(name) for name in entries_of(page, "tags")]
            names.update(name for name in listed if name.startswith(prefix))
            if listed == sorted(listed) and listed and listed[-1] > f"{prefix}\x7f" and prefix:
                break
        return tuple(sorted(names))

    def has_manifest(self, digest: Digest) -> bool:
        """Whether the manifest is there."""
        return self.digest_of(str(digest)) is not None

    def intact(self, ref: ImageRef) -> bool:
        """Whether the manifest, and every blob that it names in the size that it names, are there."""
        manifest = self.manifest(ref.digest)
        return manifest is not None and not self.missing(manifest)

    def missing(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """The blobs of a manifest that are absent here, or of another size; asked for in parallel."""
        blobs = manifest.blobs
        with ThreadPoolExecutor(PARALLEL) as pool:
            sizes = list(pool.map(self.blob_size, [blob.digest for blob in blobs]))
        return tuple(blob for blob, size in zip(blobs, sizes, strict=True) if size not in (blob.size, -1))

    # -- writing ----------------------------------------------------------------------------------

    def put_blob(self, body: bytes) -> Descriptor:
        """Store a small blob, unless it is there already; the descriptor has no media type yet."""
        digest = Digest.of(body)

        def upload() -> None:
            if not self.has_blob(digest):
                uploads.upload(self._session, digest, body)

        self._session.retry(upload)
        return Descriptor("application/octet-stream", digest, len(body))

    def refuse_read_only(self) -> None:
        """Raise RegistryError where nothing may be stored here; nothing is stored to see it."""
        uploads.refuse_read_only(self._session)

    def mount(self, digest: Digest, source: Repository) -> bool:
        """Mount a blob of another repository of the same registry; False where the registry does not.

        Only a 201 means that the blob is here. A 202 opened an upload instead, which is cancelled.
        """
        if source.host != self.repository.host:
            return False
        response = self._session.ask(
            "POST", f"/blobs/uploads/?mount={digest}&from={source.path}", ok=(201, 202), source=source
        )
        if response.status == httpx.codes.CREATED:
            return True
        uploads.cancel(self._session, uploads.upload_url(response))
        return False

    def copy_blob(self, blob: Descriptor, source: Readable) -> None:
        """Stream a blob from another repository or registry, a chunk at a time."""
        name = f"{source.repository}@{blob.digest}"

        def copy() -> None:
            if self.has_blob(blob.digest):
                return
            size = source.blob_size(blob.digest)
            if size is not None and size not in (blob.size, -1):
                raise uploads.wrong_size(name, size, blob.size)
            with source.stream(blob) as chunks:
                first = next(chunks, b"")  # so that nothing is begun here where there is nothing to send
                whole = uploads.Source(chain([first], chunks), blob.size, name)
                uploads.copy(self._session, blob.digest, whole)

        self._session.retry(copy)

    def mount_or_copy_blob(self, blob: Descriptor, source: Readable) -> None:
        """Have a blob of another place here: it is there already, else mounted, else copied."""
        if self.has_blob(blob.digest):
            return
        if not (isinstance(source, Contents) and self.mount(blob.digest, source.repository)):
            self.copy_blob(blob, source)

    def mount_or_copy_blobs(self, blobs: Iterable[Descriptor], source: Readable) -> None:
        """Have all these blobs here, in parallel."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(lambda blob: self.mount_or_copy_blob(blob, source), blobs))

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> Digest:
        """Store a manifest under its digest, or under a tag, which then names it."""
        self.store(manifest, tag)
        return manifest.digest

    def delete_manifest(self, digest: Digest) -> bool:
        """Remove a manifest, and so every tag that names it; False where it cannot be."""
        return self._delete(str(digest))

    def delete_tag(self, tag: str) -> bool:
        """Remove a tag and nothing else; False where the registry removes nothing.

        One that removes manifests only gets another under the tag, which no other tag names, and removes it.
        """
        if self._delete(tag):
            return True
        empty = self.put_blob(b"{}")
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": REMOVED,
            "config": {**empty.plain, "mediaType": EMPTY},
            "layers": [{**empty.plain, "mediaType": EMPTY}],
            "annotations": {REMOVED: secrets.token_hex(16)},
        }
        removed = Manifest(canonical(document), OCI_MANIFEST)
        self.put_manifest(removed, tag)
        return self.delete_manifest(removed.digest)

    def _delete(self, reference: str) -> bool:
        response = self._session.ask("DELETE", f"/manifests/{reference}", ok=(202, 400, 404, 405))
        return response.status == httpx.codes.ACCEPTED

    # -- for the other files of this folder --------------------------------------------------------

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The JSON of each page of a list; nothing where the registry knows no such list."""
        return self._session.pages(path)

    def store(self, manifest: Manifest, tag: str | None = None) -> Response:
        """Store a manifest; returns the registry's response."""
        path = f"/manifests/{tag or manifest.digest}"
        headers = {"Content-Type": manifest.media_type}

        def put() -> Response:
            response = self._session.once(
                "PUT", f"{self._session.root}{path}", (201, 400, 404), headers=headers, content=manifest.body
            )
            if response.status != httpx.codes.CREATED:
                raise self._rejected(response, manifest)
            return response

        response = self._session.retry(put)
        header = response.headers.get("Docker-Content-Digest", str(manifest.digest))
        check_digest(manifest.digest, digest_in(header, response), response)
        return response

    def _rejected(self, response: Response, manifest: Manifest) -> Exception:
        """The error for a manifest that was not taken: a registry under load denies blobs that it has."""
        absent = () if manifest.media_type in INDEXES else self.missing(manifest)
        if absent:
            names = ", ".join(str(blob.digest) for blob in absent)
            return RegistryError(f"{response.summary}; absent: {names}", hint="push the image again")
        return TransientError(response.summary, max_attempts=4)


def _accept(media_types: Iterable[str]) -> dict[str, str]:
    return {"Accept": ", ".join(media_types)}


def _length(response: Response) -> int:
    header = response.headers.get("Content-Length", "")
    return int(header) if re.fullmatch(r"[0-9]{1,18}", header) else -1
