"""An object as the dynamic loader maps it: what lies at an address, the dynamic section, and names."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipeline.formats.elf.headers import DYNAMIC, ElfError, Segment, Tag, many, part

if TYPE_CHECKING:
    from pipeline.formats.elf.headers import Records

_MAX_ENTRIES = 1 << 14
"""Of a dynamic section; the longest known has a few hundred."""
_MAX_NAME = 1 << 12
"""Of a name in bytes, as a path on Linux. Symbols may be longer."""
_MAX_TEXT = 1 << 27
"""Of a table of names in bytes; that of the richest object known, Triton's, has 14 MB."""
_SHARED, _REPEATED = 4, 1 << 16
"""Names may be ends of each other, and a version be named for several files: as a factor, and in bytes."""


class Mapped:
    """The segments of a file that the loader maps, and what it reads of them first, the dynamic section.

    Raises ElfError where a segment is cut off, or the dynamic section is not in one.
    """

    def __init__(self, data: memoryview, segments: Records) -> None:
        self._data = data
        loaded = segments[segments["kind"] == Segment.LOAD]
        self._loaded: list[tuple[int, int, int]] = loaded[["address", "offset", "size"]].tolist()
        for address, offset, size in self._loaded:
            part(data, offset, size, f"the segment at address {address:#x}")
        self._dynamic = self._read_dynamic(segments)
        self._last = dict(self._dynamic)

    @property
    def is_linked(self) -> bool:
        """Whether there is anything for the loader to link."""
        return bool(self._dynamic)

    def values(self, tag: Tag) -> list[int]:
        """What the dynamic section says under a tag that may stand there several times, in order."""
        return [value for other, value in self._dynamic if other == tag]

    def value(self, tag: Tag) -> int | None:
        """What it says under a tag that should stand there once; of several, the loader takes the last."""
        return self._last.get(tag)

    def table(self, tag: Tag) -> memoryview | None:
        """The bytes from the address under a tag to its segment's end; None where there is no such tag."""
        address = self.value(tag)
        return None if address is None else self._at(address, tag.what)

    def _at(self, address: int, what: str) -> memoryview:
        for start, offset, size in self._loaded:
            if start <= address < start + size:
                return self._data[offset + address - start : offset + size]
        raise ElfError(f"{what} would be at address {address:#x}, which no segment of the file holds")

    def _read_dynamic(self, segments: Records) -> list[tuple[int, int]]:
        what = "the dynamic section"
        for segment in segments[(segments["kind"] == Segment.DYNAMIC) & (segments["size"] > 0)][:1]:
            table = self._at(int(segment["address"]), what)
            entries = many(table, DYNAMIC, int(segment["size"]) // DYNAMIC.itemsize, what)
            ends = np.flatnonzero(entries["tag"] == 0)
            entries = entries[: ends[0]] if len(ends) else entries
            if len(entries) > _MAX_ENTRIES:
                raise ElfError(f"{what} has more than {_MAX_ENTRIES} entries")
            return list(map(tuple, entries.tolist()))
        return []


class Names:
    """A table of names, each ended by a zero byte, and found by the byte at which it begins.

    Together, names may be longer than the table that they share, but not without end: a small file must not
    fill the memory. Of 3,500 objects looked at, the names of none were twice as long as their table.
    """

    def __init__(self, table: memoryview) -> None:
        if len(table) > _MAX_TEXT:
            raise ElfError(f"a table of names of {len(table)} bytes, more than {_MAX_TEXT}")
        self._table = table
        self._left = _SHARED * len(table) + _REPEATED

    def one(self, at: int, what: str, longest: int = _MAX_NAME) -> str:
        """The name at a byte, what is no UTF-8 by number. Raises ElfError where it does not end in time."""
        name, end, _ = bytes(self._table[at : at + longest]).partition(b"\0")
        if not end:
            raise ElfError(f"{what}: no name of at most {longest} bytes at byte {at} of {len(self._table)}")
        self._take(len(name))
        return name.decode("utf-8", "backslashreplace")

    def many(self, at: Records) -> frozenset[str]:
        """The names of symbols at these bytes, one character for each byte, without the empty one.

        Raises ElfError where a name does not end.
        """
        after = np.searchsorted(self._ends, at)
        if len(at) and after.max() == len(self._ends):
            raise ElfError(f"a symbol's name at byte {at.max()} has no end in {len(self._table)} bytes")
        ends = self._ends[after]
        self._take(int((ends - at).sum()))
        names = {self._text[begin:end] for begin, end in zip(at.tolist(), ends.tolist(), strict=True)}
        return frozenset(names - {""})

    def _take(self, length: int) -> None:
        self._left -= length
        if self._left < 0:
            raise ElfError(f"names far longer than the table of {len(self._table)} bytes that they are in")

    @cached_property
    def _ends(self) -> Records:
        return np.flatnonzero(np.frombuffer(self._table, "u1") == 0)

    @cached_property
    def _text(self) -> str:
        return str(self._table, "latin-1")
