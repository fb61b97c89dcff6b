"""An OCI image layout, read as a repository is, without a registry. Whoever gave it to us is a stranger."""

from __future__ import annotations

import errno
import json
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

from pipeline.adapters import files
from pipeline.adapters.image_files.limits import BrokenError
from pipeline.adapters.image_files.stream import checked
from pipeline.adapters.registry.referrers import MAX_REFERRERS, Referrers, SharedList, refuse_more
from pipeline.formats.oci import MANIFESTS, MAX_DOCUMENT_BYTES, OCI_INDEX, Descriptor, Manifest
from pipeline.formats.oci_layout import BLOBS, INDEX, MARK, VERSION, LayoutIndex
from pipeline.model import Digest, Repository, TagRef, is_build_key, shown, signed_digest
from pipeline.model.errors import RegistryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

CHUNK = 1 << 20
"""Bytes of a blob in memory at a time."""

AGAIN = "export writes anew what is wrong in a layout, where the registry still has it"


class Layout:
    """What a folder holds of one repository. Every method raises RegistryError for what is not what it says.

    The index is read once, when the layout is opened.
    """

    def __init__(self, folder: Path, index: LayoutIndex, repository: Repository) -> None:
        self.folder = folder
        self.repository = repository
        self._index = index

    @classmethod
    def read(cls, folder: Path, repository: Repository | None = None) -> Self:
        """The layout in a folder; ``repository`` is which one it is of, instead of the one that it names.

        Raises UsageError where there is none, or where nobody says of which repository it is.
        """
        index = read_index(folder)
        named = index.repository
        if repository is None and not named:
            what = f"{folder} does not say which repository it was taken from"
            raise UsageError(what, hint="say it with --repository HOST/PATH")
        try:
            return cls(folder, index, repository or Repository.parse(named))
        except ValueError as error:
            raise UsageError(f"{folder}: {error}", hint="say it with --repository HOST/PATH") from error

    def __repr__(self) -> str:
        return f"Layout({self.folder})"

    def digest_of(self, tag: str) -> Digest | None:
        """The digest of the bytes that a tag, or a digest's text, names; None without any."""
        reference = Digest(tag) if tag.startswith("sha256:") else tag
        manifest = self.manifest(reference)
        return manifest.digest if manifest else None

    def manifest(self, reference: Digest | str) -> Manifest | None:
        """The manifest under a digest or a tag, its bytes hashed; None where none is listed."""
        if isinstance(reference, Digest):
            entry = self._listed.get(reference)
        else:
            entry = self._index.tags.get(reference)
        if entry is None or entry.media_type not in MANIFESTS:
            return None
        return Manifest(self._document(entry.digest), entry.media_type)

    def blob(self, digest: Digest) -> bytes:
        """A small blob, hashed."""
        return self._document(digest)

    def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where it is not there."""
        path = self.path_of(digest)
        return path.stat().st_size if path.is_file() else None

    @contextmanager
    def stream(self, blob: Descriptor) -> Generator[Iterator[bytes]]:
        """The bytes of a blob of any size, in chunks, while the block lasts.

        Raises RegistryError, after the last of them, where they are not those of the blob.
        """
        with self._opened(blob.digest) as file:
            yield self._checked(iter(partial(file.read, CHUNK), b""), blob)

    def tags(self, prefix: str = "") -> tuple[str, ...]:
        """Every tag that begins so, sorted."""
        return tuple(sorted(tag for tag in self._index.tags if tag.startswith(prefix)))

    def missing(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """The blobs of a manifest that are absent here, or of another size; they are not hashed."""
        return tuple(blob for blob in manifest.blobs if self.blob_size(blob.digest) != blob.size)

    def referrers(self, subject: Digest, artifact_type: str, *, max_count: int = MAX_REFERRERS) -> Referrers:
        """What refers to a manifest, of this type; a layout has no list of it but its index."""
        found = tuple(
            manifest.descriptor
            for manifest in self._artifacts
            if manifest.subject == subject and manifest.document.get("artifactType") == artifact_type
        )
        refuse_more(self.repository, subject, len(found), max_count)
        return Referrers(found, (), (), SharedList("", "manifests", {}, OCI_INDEX, exists=False))

    def images(self) -> dict[Digest, tuple[str, ...]]:
        """The images, and the tags of each; a list of statements or a candidate's build key is none."""
        artifacts = {manifest.digest for manifest in self._artifacts}
        found: dict[Digest, tuple[str, ...]] = {
            entry.digest: () for entry in self._index.entries if entry.digest not in artifacts
        }
        for tag, entry in sorted(self._index.tags.items()):
            if entry.digest in found and not signed_digest(tag) and not is_build_key(tag):
                found[entry.digest] += (self._named(tag),)
        return found

    def path_of(self, digest: Digest) -> Path:
        """Where a blob or a manifest lies."""
        return self.folder / BLOBS / digest.hex

    @property
    def _listed(self) -> dict[Digest, Descriptor]:
        return {entry.digest: entry for entry in self._index.entries}

    @cached_property
    def _artifacts(self) -> tuple[Manifest, ...]:
        """The manifests that refer to another one."""
        listed = [self.manifest(digest) for digest in self._listed]
        return tuple(manifest for manifest in listed if manifest and manifest.subject)

    def _named(self, tag: str) -> str:
        try:
            return TagRef(self.repository, tag).tag
        except ValueError as error:
            raise RegistryError(f"{self.folder / INDEX}: {error}", hint=AGAIN) from error

    def _document(self, digest: Digest) -> bytes:
        path = self.path_of(digest)
        with self._opened(digest) as file:
            body = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(body) > MAX_DOCUMENT_BYTES:
            raise RegistryError(f"{path} is larger than {MAX_DOCUMENT_BYTES} bytes", hint=AGAIN)
        if Digest.of(body) != digest:
            raise self._changed(digest, f"its bytes have the digest {Digest.of(body)}")
        return body

    def _checked(self, chunks: Iterable[bytes], blob: Descriptor) -> Iterator[bytes]:
        try:
            yield from checked(chunks, blob.digest, blob.size)
        except BrokenError as error:
            raise self._changed(blob.digest, str(error)) from error

    def _opened(self, digest: Digest) -> BinaryIO:
        path = self.path_of(digest)
        try:
            return files.opened(path, links=False)
        except OSError as error:
            why = "is listed, and not there" if error.errno == errno.ENOENT else error.strerror
            raise RegistryError(f"{path} {why}", hint=AGAIN) from error

    def _changed(self, digest: Digest, why: str) -> RegistryError:
        return RegistryError(f"{self.path_of(digest)} was changed: {why}", hint=AGAIN)


def read_index(folder: Path) -> LayoutIndex:
    """What the layout in a folder lists. Raises UsageError where there is none that can be read."""
    hint = "name a folder that `export` wrote, or another OCI image layout"
    try:
        mark = json.loads(files.read(folder / MARK, MAX_DOCUMENT_BYTES))
        version = mark.get("imageLayoutVersion") if isinstance(mark, dict) else None
        if version != VERSION:
            raise UsageError(f"{folder / MARK} says version {shown(version)}, not {VERSION}", hint=hint)
        return LayoutIndex.read(files.read(folder / INDEX, MAX_DOCUMENT_BYTES))
    except OSError as error:
        raise UsageError(f"{folder} is no OCI image layout: {error}", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{folder} is no OCI image layout: {shown(error)}", hint=hint) from error
