"""Files by name, in a folder or in a tar archive of this machine."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, contextmanager
from functools import partial
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pipeline.adapters.image_files.limits import BrokenError, Meter
from pipeline.adapters.image_files.spool import temporary, write
from pipeline.adapters.image_files.stream import CHUNK, is_packed, unpacked
from pipeline.adapters.image_files.tar import TarStream, entries, located

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


class Parts(Protocol):
    """Files by name, wherever they lie. Each method raises OSError where they cannot be read."""

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none of that name."""

    def open(self, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of a file that is there, in chunks, while the block lasts."""

    def close(self) -> None:
        """Give back what is held open."""


class FolderParts:
    """The files of a folder. No name leads out of it; a link could, to bytes that their digest must fit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def size(self, name: str) -> int | None:
        """See :class:`Parts`."""
        try:
            status = self._place(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    @contextmanager
    def open(self, name: str) -> Generator[Iterator[bytes]]:
        """See :class:`Parts`."""
        with self._place(name).open("rb", buffering=0) as file:
            yield _chunks(file, 0, os.fstat(file.fileno()).st_size)

    def close(self) -> None:
        """Nothing is held open."""

    def _place(self, name: str) -> Path:
        return self._folder / located(name)[1:]


class ArchiveParts:
    """The members of a tar archive, whose file is its own. Raises BrokenError for a damaged one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        try:
            self._list()
        except BaseException:
            file.close()
            raise

    def size(self, name: str) -> int | None:
        """See :class:`Parts`."""
        member = self._member(name)
        return member[1] if member else None

    @contextmanager
    def open(self, name: str) -> Generator[Iterator[bytes]]:
        """See :class:`Parts`."""
        member = self._member(name)
        if member is None:
            raise BrokenError(f"it lacks {name}")
        yield _chunks(self._file, *member)

    def close(self) -> None:
        """Close the archive."""
        self._file.close()

    def _list(self) -> None:
        stream = _SeekableTarStream(self._file)
        for entry in entries(stream, Meter()):
            if entry.kind == "file" and not entry.sparse:
                self._members[entry.path] = stream.position, entry.size
            elif entry.kind == "link":  # engines before 25 save a layer once, and link to it
                self._links[entry.path] = normpath(join(dirname(entry.path), entry.link))

    def _member(self, name: str) -> tuple[int, int] | None:
        """Where the bytes of a member begin, and how many there are."""
        path = located(name)
        return self._members.get(self._links.get(path, path))


def _chunks(file: BinaryIO, at: int, left: int) -> Iterator[bytes]:
    """So many bytes of a file, from this byte on; never more than that, whatever the file becomes."""
    while left:
        chunk = os.pread(file.fileno(), min(left, CHUNK), at)
        if not chunk:
            raise BrokenError(f"it ends {left} bytes too early")
        yield chunk
        at, left = at + len(chunk), left - len(chunk)


class _SeekableTarStream(TarStream):
    """A stream on a file, which is skipped over without being read."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(iter(partial(file.read, 1 << 12), b""))
        self._file = file
        self._end = os.fstat(file.fileno()).st_size

    def skip_to(self, position: int) -> None:
        """See :class:`TarStream`."""
        if position > self._end:
            raise BrokenError(f"it ends {position - self._end} bytes too early")
        if position - self.position > len(self._chunk):
            self._file.seek(position)
            self._chunk, self.position = memoryview(b""), position
        else:
            super().skip_to(position)

    def drain(self) -> None:
        """Nothing that follows matters here."""


def plain(path: Path) -> BinaryIO:
    """The archive, open; where it is packed, as `docker load` takes it too, a nameless file of its bytes."""
    with ExitStack() as held:
        file = held.enter_context(path.open("rb", buffering=0))
        if is_packed(os.pread(file.fileno(), 4, 0)):
            return spooled(iter(partial(file.read, CHUNK), b""))
        held.pop_all()
        return file


def spooled(chunks: Iterator[bytes]) -> BinaryIO:
    """A nameless file of the temporary folder that holds these chunks, unpacked where they are packed.

    Raises ImageError for want of room, BrokenError for what is damaged or too much.
    """
    with ExitStack() as held:
        file = held.enter_context(temporary())
        for chunk in unpacked(chunks, Meter()):
            write(file, chunk)
        file.seek(0)
        held.pop_all()
        return file
