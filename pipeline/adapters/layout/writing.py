"""An OCI image layout, written: each file whole or not at all, and the index last.

One that was ended anywhere is a good layout of what it lists, and is gone on with by whoever opens it again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Self

from pipeline.adapters import files
from pipeline.adapters.image_files.limits import BrokenError
from pipeline.adapters.image_files.stream import checked
from pipeline.adapters.layout.reading import Layout, read_index
from pipeline.adapters.registry.transport import PARALLEL
from pipeline.formats.oci import MAX_DOCUMENT_BYTES, Descriptor, Manifest
from pipeline.formats.oci_layout import BLOBS, INDEX, MARK, VERSION, LayoutIndex
from pipeline.formats.units import size
from pipeline.model import PROJECT, Digest, canonical, shown
from pipeline.model.errors import DiskError, RegistryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from pipeline.adapters.places import Readable
    from pipeline.model import Repository

_PART = f".{PROJECT}-"
"""How the names of files begin that are not whole yet."""

_ANOTHER = "name an empty folder, or one that the same was exported to"

_ROOM = "free some room there, or name another folder; the same command goes on where this one ended"


class LayoutWriter(Layout):
    """A layout that is written to, by one process at a time."""

    def __init__(self, folder: Path, index: LayoutIndex, repository: Repository) -> None:
        super().__init__(folder, index, repository)
        self._is_ending = Event()

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, repository: Repository) -> Generator[Self]:
        """The layout of a repository in a folder, made where there is none, while the block lasts.

        Raises UsageError where something else lies there, another repository's layout too, or another process
        writes there now.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made: {error.strerror}", hint=_ANOTHER) from error
        with _locked(folder):
            for part in (*folder.glob(f"{_PART}*"), *(folder / BLOBS).glob(f"{_PART}*")):
                part.unlink()
            layout = cls(folder, _begun(folder, repository), repository)
            files.folder(folder, *BLOBS.split("/"))
            layout._forget_broken()
            yield layout

    def missing(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """The blobs of a manifest that are absent here; one that was changed is removed, and absent then."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            whole = list(pool.map(self._is_whole, manifest.blobs))
        return tuple(blob for blob, is_whole in zip(manifest.blobs, whole, strict=True) if not is_whole)

    def mount_or_copy_blobs(self, blobs: Iterable[Descriptor], source: Readable) -> None:
        """Have all these blobs here, in parallel. Raises DiskError where there is no room for them."""
        wanted = tuple(blobs)
        self._require_room(sum(blob.size for blob in wanted))
        with ThreadPoolExecutor(PARALLEL) as pool:
            copies = [pool.submit(self._copy, blob, source) for blob in wanted]
            try:
                for copy in as_completed(copies):
                    copy.result()
            except BaseException:
                self._is_ending.set()  # a layer takes minutes: none goes on for a run that has failed
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def put_blob(self, body: bytes) -> Descriptor:
        """Store a small blob, unless it is there and right."""
        blob = Descriptor("application/octet-stream", Digest.of(body), len(body))
        if not self._is_whole(blob):
            self._write(self.path_of(blob.digest), body)
        return blob

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> Digest:
        """Store a manifest and list it, under a tag where one is named, which then names it."""
        self.put_blob(manifest.body)
        self._list(manifest.descriptor, tag or "")
        return manifest.digest

    def put_referrer(self, manifest: Manifest) -> Digest:
        """Store a manifest that has a subject; whoever reads the index finds what refers to an image."""
        self.put_blob(manifest.body)
        kind = str(manifest.document.get("artifactType", ""))
        self._list(replace(manifest.descriptor, artifact_type=kind), "")
        return manifest.digest

    def _list(self, manifest: Descriptor, tag: str) -> None:
        index = self._index.entered(manifest, tag)
        if len(index.body) > MAX_DOCUMENT_BYTES:
            what = f"{self.folder / INDEX} would list more than anybody reads: {len(index.entries)} manifests"
            raise UsageError(what, hint="export into another folder")
        if index != self._index:
            self._write(self.folder / INDEX, index.body)
        self._index = index
        self.__dict__.pop("_artifacts", None)

    def _forget_broken(self) -> None:
        """List no manifest, and no statement, that is not whole: so it comes again."""
        whole = tuple(entry for entry in self._index.entries if self._is_right(entry))
        if whole != self._index.entries:
            self._index = replace(self._index, entries=whole)
            self._write(self.folder / INDEX, self._index.body)

    def _is_right(self, entry: Descriptor) -> bool:
        """Whether an entry's manifest is whole, and, where it refers to an image, all that it names."""
        manifest = self.manifest(entry.digest) if self._is_whole(entry) else None
        return manifest is not None and not (manifest.subject and self.missing(manifest))

    def _is_whole(self, blob: Descriptor) -> bool:
        """Whether a blob is here with all of its bytes."""
        if self.blob_size(blob.digest) is None:
            return False
        try:
            with self.stream(blob) as chunks:
                for _ in chunks:
                    pass
        except RegistryError:
            files.remove(self.path_of(blob.digest))
            return False
        return True

    def _copy(self, blob: Descriptor, source: Readable) -> None:
        """One blob, hashed as it is written, under its name when all of it has come."""
        part = self.folder / f"{_PART}{blob.digest.hex}"
        try:
            with files.create(part) as file, source.stream(blob) as chunks:
                for chunk in checked(chunks, blob.digest, blob.size):
                    if self._is_ending.is_set():
                        return
                    file.write(chunk)
            part.replace(self.path_of(blob.digest))
        except BrokenError as error:
            what = f"{source.repository}@{blob.digest}: {error}"
            raise RegistryError(
                what, hint="push the image again; do not use it until that is explained"
            ) from error
        except OSError as error:
            raise self._not_written(error, f"of {blob.digest}, {size(blob.size)},") from error
        finally:
            part.unlink(missing_ok=True)

    def _write(self, path: Path, body: bytes) -> None:
        try:
            files.write(path, body)
        except OSError as error:
            raise self._not_written(error, f"of {path.name}") from error

    def _not_written(self, error: OSError, what: str) -> DiskError:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if is_full else shown(error)
        return DiskError(f"{self.folder}: {why}; {what} not all could be written", hint=_ROOM)

    def _require_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            what = f"{self.folder}: {size(needed)} are to be written, and {size(free)} are free"
            raise DiskError(what, hint=_ROOM)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Keep other processes from writing to a folder. Raises UsageError where one does."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        what = f"another process writes to {folder} now"
        raise UsageError(what, hint="wait until it has ended, or name another folder") from error
    finally:
        os.close(held)


def _begun(folder: Path, repository: Repository) -> LayoutIndex:
    """What is listed there of this repository: nothing yet, where it was only just begun."""
    if (folder / INDEX).exists():
        index = read_index(folder)
        if index.repository != str(repository):
            named = shown(index.repository) or "nobody knows what"
            raise UsageError(f"{folder} holds images of {named}, not of {repository}", hint=_ANOTHER)
        return index
    strange = sorted({path.name for path in folder.iterdir()} - {MARK, BLOBS.partition("/")[0]})
    if strange:
        raise UsageError(f"{folder} holds {shown(strange[0])}, which is of no image", hint=_ANOTHER)
    index = LayoutIndex(repository=str(repository))
    files.write(folder / MARK, canonical({"imageLayoutVersion": VERSION}))
    files.write(folder / INDEX, index.body)
    return index
