"""Where the bytes of one file at a time lie while they are looked at."""

from __future__ import annotations

import mmap
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Self

from pipeline.model.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

IN_MEMORY_BYTES = 1 << 20
"""Of a file that is kept in memory; a larger one is written to the temporary folder."""


class Spool:
    """Holds one file: a small one in memory, a large one in a nameless file of the temporary folder.

    That file is one for all: it grows to the largest and is gone when the spool, or this process, ends.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    @contextmanager
    def hold(self, parts: Iterable[memoryview], size: int) -> Generator[memoryview]:
        """These parts of ``size`` bytes as one, while the block lasts. Raises ImageError for want of room."""
        if size <= IN_MEMORY_BYTES:
            with memoryview(b"".join(parts)) as whole:
                yield whole
            return
        self._file = self._file or temporary()
        self._file.seek(0)
        for part in parts:
            write(self._file, part)
        with mapped(self._file.fileno(), size) as view:
            yield view


def temporary() -> BinaryIO:
    """A nameless file of the temporary folder, gone with its last user. Raises ImageError."""
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise _no_room(error) from error


def write(file: BinaryIO, part: bytes | memoryview) -> None:
    """All of these bytes into a file that ``temporary`` made. Raises ImageError for want of room."""
    left = memoryview(part)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> ImageError:
    return ImageError(
        f"{tempfile.gettempdir()}: no room for the bytes of an image that are being read: {error.strerror}",
        hint="free some room there, or name another folder in TMPDIR",
    )


@contextmanager
def mapped(descriptor: int, size: int) -> Generator[memoryview]:
    """The first bytes of an open file, of which there is at least one, mapped while the block lasts."""
    mapping = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    view = memoryview(mapping)
    try:
        yield view
    finally:
        # A part of it that is still held keeps the mapping alive, and ends it.
        with suppress(BufferError):
            view.release()
            mapping.close()
