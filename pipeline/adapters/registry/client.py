"""One repository of one registry: what is read from it, and what is written to it."""

from __future__ import annotations

import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import httpx

from pipeline.adapters.registry import referrers, uploads
from pipeline.adapters.registry.answers import BusyError, compare, digest_in, trouble
from pipeline.adapters.registry.requests import MANY, Requests
from pipeline.adapters.registry.transport import PARALLEL
from pipeline.formats.image_config import ConfigFile
from pipeline.formats.oci import (
    EMPTY,
    INDEXES,
    MANIFESTS,
    OCI_MANIFEST,
    ContentError,
    Descriptor,
    Manifest,
    not_understood,
)
from pipeline.model import PROJECT, Digest, ImageRef, Repository, canonical
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from pipeline.adapters.registry.answers import Answer
    from pipeline.adapters.registry.referrers import Referrers
    from pipeline.formats.image_config import ImageConfig

REMOVED = f"application/vnd.{PROJECT}.removed"
"""The type of what lies under a tag for a moment, so that the tag can be removed."""

BROKEN_SECONDS = 2.0
"""For which a registry may fail to find one blob before it counts as absent. Ten at once take no longer."""

_BROKEN = (500, 502, 503, 504)


class Registry:
    """One repository of one registry. Cheap to make: connections are shared by all of the same host.

    ``patience`` is the number of seconds for which one request is repeated while the registry is
    away or busy. Every method raises RegistryError where we could not find out or could not write.
    """

    def __init__(self, repository: Repository, *, patience: float | None = None) -> None:
        self.repository = repository
        self._requests = Requests(repository, patience)
        self.patience = self._requests.patience

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
        answer = self._requests.ask("GET", f"/manifests/{tag}", ok=(200, 404), headers=_accept(MANIFESTS))
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        digest = Digest.of(answer.body)
        said = answer.headers.get("Docker-Content-Digest", str(digest))
        compare(digest_in(said, answer), digest, answer)
        return digest

    def manifest(self, reference: Digest | str) -> Manifest | None:
        """The manifest under a digest or a tag, its bytes hashed and compared; None where there is none."""
        answer = self._requests.ask(
            "GET", f"/manifests/{reference}", ok=(200, 404), headers=_accept(MANIFESTS)
        )
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        manifest = Manifest(answer.body, answer.headers.get("Content-Type", "").partition(";")[0].strip())
        said = answer.headers.get("Docker-Content-Digest", str(manifest.digest))
        wanted = reference if isinstance(reference, Digest) else digest_in(said, answer)
        compare(wanted, manifest.digest, answer)
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

        def once() -> Answer:
            answer = self._requests.once(
                "HEAD", f"{self._requests.root}/blobs/{digest}", (200, 404, *_BROKEN)
            )
            if answer.status in _BROKEN and (time.monotonic() < broken_after or not self._requests.is_well()):
                raise trouble(answer, self.repository.host)
            return answer

        answer = self._requests.patiently(once)
        return _length(answer) if answer.status == httpx.codes.OK else None

    def has_blob(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        return self.blob_size(digest) is not None

    def blob(self, digest: Digest) -> bytes:
        """A small blob, hashed and compared. Raises RegistryError also where it is absent or large."""
        answer = self._requests.ask("GET", f"/blobs/{digest}", ok=(200, 404))
        if answer.status == httpx.codes.NOT_FOUND:
            raise ContentError(f"{self.repository} lacks the blob {digest}", hint="push the image again")
        compare(digest, Digest.of(answer.body), answer)
        return answer.body

    @contextmanager
    def stream(self, blob: Descriptor) -> Generator[Iterator[bytes]]:
        """The bytes of a blob of any size, in pieces, while the block lasts.

        Where the connection breaks, they go on from there. Nobody hashes them here: compare when all have
        come. More than one piece too many never comes. Raises RegistryError.
        """
        with closing(self._requests.resumed(blob.digest, blob.size)) as pieces:
            yield pieces

    def tags(self, prefix: str = "") -> tuple[str, ...]:
        """Every tag of the repository that begins so, sorted; none where the repository does not exist.

        Registries list tags in their order, and may begin after one: so little more is read than is wanted.
        """
        names: set[str] = set()
        for page in self.pages(f"/tags/list?n={MANY}" + (f"&last={prefix[:-1]}" if prefix[1:] else "")):
            found = [str(name) for name in referrers.entries_of(page, "tags")]
            names.update(name for name in found if name.startswith(prefix))
            if found == sorted(found) and found and found[-1] > f"{prefix}\x7f" and prefix:
                break
        return tuple(sorted(names))

    def around(self, digest: Digest, artifact_type: str, *, most: int = MANY) -> Referrers:
        """See :func:`pipeline.adapters.registry.referrers.around`."""
        return referrers.around(self, digest, artifact_type, most=most)

    def referrers(self, digest: Digest, artifact_type: str) -> tuple[Descriptor, ...]:
        """What was attached to this digest, each once; more than can be read is a RegistryError."""
        return self.around(digest, artifact_type).found

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
                uploads.upload(self._requests, digest, body)

        self._requests.patiently(upload)
        return Descriptor("application/octet-stream", digest, len(body))

    def mount(self, digest: Digest, source: Repository) -> bool:
        """Take over a blob of another repository of the same registry; False where the registry would not.

        Only a 201 means that the blob is here. A 202 opened an upload instead, which is cancelled.
        """
        if source.host != self.repository.host:
            return False
        answer = self._requests.ask(
            "POST", f"/blobs/uploads/?mount={digest}&from={source.path}", ok=(201, 202), source=source
        )
        if answer.status == httpx.codes.CREATED:
            return True
        uploads.cancel(self._requests, uploads.place(answer))
        return False

    def copy_blob(self, blob: Descriptor, source: Registry) -> None:
        """Stream a blob from another repository or registry, a piece at a time."""
        name = f"{source.repository}@{blob.digest}"

        def copy() -> None:
            if self.has_blob(blob.digest):
                return
            size = source.blob_size(blob.digest)
            if size is not None and size not in (blob.size, -1):
                raise uploads.wrong_size(name, size, blob.size)
            with source.stream(blob) as pieces:
                first = next(pieces, b"")  # so that nothing is begun here where there is nothing to send
                whole = uploads.Source(chain([first], pieces), blob.size, name)
                uploads.copy(self._requests, blob.digest, whole)

        self._requests.patiently(copy)

    def take_blob(self, blob: Descriptor, source: Registry) -> None:
        """Have a blob here that another repository has: already there, else mounted, else copied."""
        if not self.has_blob(blob.digest) and not self.mount(blob.digest, source.repository):
            self.copy_blob(blob, source)

    def take_blobs(self, blobs: Iterable[Descriptor], source: Registry) -> None:
        """Have all these blobs here, in parallel."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(lambda blob: self.take_blob(blob, source), blobs))

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
        answer = self._requests.ask("DELETE", f"/manifests/{reference}", ok=(202, 400, 404, 405))
        return answer.status == httpx.codes.ACCEPTED

    def attach(
        self, subject: Descriptor, artifact_type: str, body: bytes, annotations: Mapping[str, str]
    ) -> Digest:
        """See :func:`pipeline.adapters.registry.referrers.attach`."""
        return referrers.attach(self, subject, artifact_type, body, annotations)

    def put_referrer(self, manifest: Manifest) -> Digest:
        """See :func:`pipeline.adapters.registry.referrers.put`."""
        return referrers.put(self, manifest)

    # -- for the other files of this room ----------------------------------------------------------

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The JSON of each page of a list; nothing where the registry knows no such list."""
        return self._requests.pages(path)

    def store(self, manifest: Manifest, tag: str | None = None) -> Answer:
        """Store a manifest, and hand back what the registry said to that."""
        path = f"/manifests/{tag or manifest.digest}"
        headers = {"Content-Type": manifest.media_type}

        def put() -> Answer:
            answer = self._requests.once(
                "PUT", f"{self._requests.root}{path}", (201, 400, 404), headers=headers, content=manifest.body
            )
            if answer.status != httpx.codes.CREATED:
                raise self._doubtful(answer, manifest)
            return answer

        answer = self._requests.patiently(put)
        said = answer.headers.get("Docker-Content-Digest", str(manifest.digest))
        compare(manifest.digest, digest_in(said, answer), answer)
        return answer

    def _doubtful(self, answer: Answer, manifest: Manifest) -> Exception:
        """A registry under load denies blobs that it has: look for them before it is believed."""
        absent = () if manifest.media_type in INDEXES else self.missing(manifest)
        if absent:
            names = ", ".join(str(blob.digest) for blob in absent)
            return RegistryError(f"{answer.complaint}; absent: {names}", hint="push the image again")
        return BusyError(answer.complaint, tries=4)


def _accept(media_types: Iterable[str]) -> dict[str, str]:
    return {"Accept": ", ".join(media_types)}


def _length(answer: Answer) -> int:
    said = answer.headers.get("Content-Length", "")
    return int(said) if re.fullmatch(r"[0-9]{1,18}", said) else -1
