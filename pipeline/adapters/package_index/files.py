"""Files of the index of which parts are read: as a file that can be sought in, and as a wheel."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

from pipeline.formats import zips
from pipeline.model import shown
from pipeline.model.errors import DamagedError, FactsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from _typeshed import WriteableBuffer

    from pipeline.adapters.package_index.pages import IndexFile

PIECE = 16 << 20
"""Bytes of one range request where all of a file is fetched."""

MAX_READ = 16 << 20
"""Bytes of one read that nobody asked ``hold`` for: a table of contents. That of PyTorch has two million."""

MAX_MEMBER = 256 << 20
"""Bytes of a member that is read as a whole, unpacked."""

_BLOCK = 64 * 1024
_UNPACKED = 1 << 20
"""Bytes of a member in one piece, at most; of zeros, deflate holds a thousand times as many."""

_HEADER = 512
"""Bytes that a member's header in a zip file takes up at most: 30, and its name."""


class Shelf(Protocol):
    """Where files lie, of which parts can be had."""

    def part(self, file: IndexFile, start: int | None, stop: int) -> tuple[bytes, int]:
        """Bytes ``start`` up to ``stop`` of a file, or its last ``stop`` bytes; and the size of all of it."""


class RemoteFile(io.RawIOBase):
    """A file of the index as Python's reader of zip files wants one.

    It holds the bytes of its last request, at first the end of the file, and asks for what lies outside.
    """

    def __init__(self, shelf: Shelf, file: IndexFile, block: int) -> None:
        self._shelf, self._file, self._block = shelf, file, block
        self._at = self._start = 0
        self._held = b""
        self.size = file.size or self._hold_end()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place, which costs nothing."""
        self._at = max(0, {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence] + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes, not more of them at a time than an honest table of contents has."""
        return super().read(min(size, MAX_READ)) or b""

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")
        count = min(len(view), self.size - self._at)
        if count <= 0:
            return 0
        if self._at >= self.size - self._block and self._start + len(self._held) < self.size:
            self._hold_end()
        self.hold(self._at, self._at + count)
        begin = self._at - self._start
        view[:count] = self._held[begin : begin + count]
        self._at += count
        return count

    def hold(self, start: int, stop: int) -> None:
        """Have these bytes at hand, by one request for at least a block, unless they are held already."""
        stop = min(stop, self.size)
        if self._start <= start and stop <= self._start + len(self._held):
            return
        stop = min(max(stop, start + self._block), self.size)
        self._held, _ = self._shelf.part(self._file, start, stop)
        self._start = start

    def _hold_end(self) -> int:
        """Hold the last bytes of the file; returns its size, which the index's page need not tell."""
        size = self._file.size
        start = None if size is None else max(0, size - self._block)
        self._held, total = self._shelf.part(self._file, start, self._block if size is None else size)
        self._start = total - len(self._held)
        return total


class RemoteWheel:
    """A wheel on the index, of which single members are read."""

    def __init__(self, file: IndexFile, remote: RemoteFile) -> None:
        self.file = file
        self.size = remote.size
        self._remote = remote
        self._archive = zips.opened(cast("IO[bytes]", remote))
        self.members = {info.filename: info.compress_size for info in self._archive.infolist()}

    def read(self, member: str) -> bytes:
        """All of a member, its checksum checked.

        Raises DamagedError where it cannot be unpacked, FactsError where it is not there.
        """
        if member not in self.members:
            raise FactsError(
                f"{self.file.shown} has no {member}", hint="unsupported wheel layout; please report it"
            )
        with readable(self.file, member):
            info = zips.known(self._archive, member)
            self._remote.hold(info.header_offset, info.header_offset + info.compress_size + _HEADER)
            return zips.member(self._archive, member, MAX_MEMBER)

    def head(self, member: str) -> Iterator[bytes]:
        """A member from its start, unpacked in pieces of at most a megabyte; stop at any time.

        It is fetched as it is asked for, 64 KiB at a time. Raises DamagedError where it cannot be unpacked.
        """
        with readable(self.file, member):
            info = zips.known(self._archive, member)
            self._remote.hold(
                info.header_offset, info.header_offset + min(info.compress_size, _BLOCK) + _HEADER
            )
            self._remote.seek(info.header_offset)
            name_length, extra_length = struct.unpack("<26x2H", self._remote.read(30))
            self._remote.seek(name_length + extra_length, io.SEEK_CUR)
            unpack = zlib.decompressobj(-zlib.MAX_WBITS)
            for start in range(0, info.compress_size, _BLOCK):
                raw = self._remote.read(min(_BLOCK, info.compress_size - start))
                if info.compress_type == zips.STORED:
                    yield raw
                    continue
                while raw and not unpack.eof:
                    yield unpack.decompress(raw, _UNPACKED)
                    raw = unpack.unconsumed_tail


@contextmanager
def readable(file: IndexFile, member: str = "") -> Iterator[None]:
    """Whatever the reader of zip files raises is said of the file."""
    try:
        with zips.readable():
            yield
    except zips.ZipError as error:
        name = shown(member)
        raise DamagedError(
            f"{file.shown}: {f'{name} in it' if name else 'it'} cannot be unpacked: {shown(error)}",
            hint="it is damaged where it lies, or on its way: ask whoever runs the index",
        ) from error
