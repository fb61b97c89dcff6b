"""Bytes seen through a layout, within bounds: the one way in which a file that may lie is looked at.

Layouts and numbers are those of the System V ABI, for objects of 64 bits with the lowest byte first
(https://gabi.xinuos.com), and for versions of symbols those of the Linux Standard Base
(https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[Any]
Layout = np.dtype[np.void]


class ElfError(ValueError):
    """An ELF object, or the GPU code in it, is truncated or not as its format says. The text says where."""


class Segment(IntEnum):
    """What a program header is for."""

    LOAD = 1
    DYNAMIC = 2
    INTERPRETER = 3
    STACK = 0x6474E551


EXECUTABLE = 1
"""The flag of a program header whose bytes may be executed."""


class Tag(IntEnum):
    """What an entry of the dynamic section says."""

    NEEDED = 1
    LATE_RELOCATIONS_SIZE = 2
    HASH_TABLE = 4
    NAMES = 5
    SYMBOLS = 6
    RELOCATIONS = 7
    RELOCATIONS_SIZE = 8
    NAMES_SIZE = 10
    SONAME = 14
    RPATH = 15
    LATE_RELOCATIONS = 23
    RUNPATH = 29
    GNU_HASH_TABLE = 0x6FFFFEF5
    DEFINED_VERSIONS = 0x6FFFFFFC
    NEEDED_VERSIONS = 0x6FFFFFFE

    @property
    def what(self) -> str:
        """What it is about, in words."""
        return f"the {self.name.lower().replace('_', ' ')}"


class Binding(IntEnum):
    """How a symbol may be bound."""

    LOCAL = 0
    GLOBAL = 1
    UNIQUE = 10


def _layout(**fields: str) -> Layout:
    return np.dtype([(name, f"<{kind}") for name, kind in fields.items()])


FILE = _layout(
    magic="u4",
    bits="u1",
    order="u1",
    format="u1",
    system="u1",
    rest="u8",
    kind="u2",
    machine="u2",
    version="u4",
    entry="u8",
    segments="u8",
    sections="u8",
    flags="u4",
    size="u2",
    segment_size="u2",
    segment_count="u2",
    section_size="u2",
    section_count="u2",
    names="u2",
)
SEGMENT = _layout(
    kind="u4", flags="u4", offset="u8", address="u8", physical="u8", size="u8", memory="u8", align="u8"
)
SECTION = _layout(
    name="u4",
    kind="u4",
    flags="u8",
    address="u8",
    offset="u8",
    size="u8",
    link="u4",
    info="u4",
    align="u8",
    entry_size="u8",
)
DYNAMIC = _layout(tag="i8", value="u8")
SYMBOL = _layout(name="u4", info="u1", other="u1", section="u2", value="u8", size="u8")
RELOCATION = _layout(offset="u8", kind="u4", symbol="u4", addend="i8")
HASH = _layout(buckets="u4", symbols="u4")
GNU_HASH = _layout(buckets="u4", first="u4", bloom="u4", shift="u4")
NEEDED_FILE = _layout(version="u2", count="u2", name="u4", parts="u4", next="u4")
NEEDED_VERSION = _layout(hash="u4", flags="u2", index="u2", name="u4", next="u4")
DEFINED_VERSION = _layout(version="u2", flags="u2", index="u2", count="u2", hash="u4", parts="u4", next="u4")
DEFINED_NAME = _layout(name="u4", next="u4")


def part(data: memoryview, at: int, size: int, what: str) -> memoryview:
    """``size`` bytes from byte ``at`` on, not copied. Raises ElfError where the data end before they do."""
    if at + size > len(data):
        raise ElfError(f"truncated: {what} would be bytes {at} to {at + size}, and there are {len(data)}")
    return data[at : at + size]


def many(data: memoryview, layout: npt.DTypeLike, count: int, what: str, *, at: int = 0) -> Records:
    """``count`` records from byte ``at`` on, not copied. Raises ElfError where the data end before."""
    bytes_of_them = part(data, at, np.dtype(layout).itemsize * count, what)
    return np.frombuffer(bytes_of_them, layout) if count else np.empty(0, layout)


def one(data: memoryview, layout: Layout, what: str, *, at: int = 0) -> dict[str, int]:
    """The record at byte ``at``: plain numbers by name. Raises ElfError where the data end before it does."""
    values = many(data, layout, 1, what, at=at)[0].tolist()
    return dict(zip(layout.names or (), values, strict=True))
