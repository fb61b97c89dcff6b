"""``/etc/ld.so.cache``: the index by which the dynamic loader finds a soname without looking into folders.

The format is glibc's own (``sysdeps/generic/dl-cache.h``): since glibc 2.32 the file begins with
``glibc-ld.so.cache1.1``; an older one has that behind a part for the loader of libc 5, which begins with
``ld.so-1.7.0``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pipeline.formats.elf.objects import Cached

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/etc/ld.so.cache"

_OLD, _MAGIC = b"ld.so-1.7.0\0", b"glibc-ld.so.cache1.1"
_OLD_HEADER, _OLD_ENTRY = struct.Struct("<12sI"), struct.Struct("<iII")
_HEADER = struct.Struct("<20sIIB3xI12x")
"""Magic, entries, bytes of strings, flags, where the extensions are."""
_ENTRY = struct.Struct("<iIIIQ")
"""Flags, where the soname is, where the path is, the kernel's version (unused), hardware capabilities."""
_EXTENSIONS, _SECTION = struct.Struct("<II"), struct.Struct("<IIII")
_EXTENSION_MAGIC, _LEVELS = 0xEAA42174, 1
_FOR_LEVEL = 1 << 62
"""Set in the capabilities of an entry from a glibc-hwcaps subdirectory, whose index is in the low 32 bits."""

_LIBC6 = 0x0003
_MACHINES = {"x86_64": 0x0300, "aarch64": 0x0A00}
"""Upper byte of the flags: which loader an entry is for (``_DL_CACHE_DEFAULT_ID`` of each port)."""

MAX_ENTRIES = 100_000
"""A real cache holds hundreds; more is no cache, and bounds what a crafted one can cost."""


def read(data: memoryview | bytes, machine: str = "x86_64") -> tuple[Cached, ...]:
    """The entries for this machine (``x86_64``, ``aarch64``), in their order.

    Raises ValueError, and nothing else, for what is no such file or points outside itself.
    """
    body = bytes(data)
    try:
        start = _start(body)
        magic, count, _, _, extensions = _HEADER.unpack_from(body, start)
        if magic != _MAGIC or count > MAX_ENTRIES:
            raise ValueError("no ld.so.cache of glibc 2.2 or newer")
        levels = tuple(_levels(body, start, extensions)) if extensions else ()
        first = start + _HEADER.size
        expected_flags = _LIBC6 | _MACHINES.get(machine, 0)
        return tuple(
            Cached(_text(body, start + name), _text(body, start + path), _level(capabilities, levels))
            for flags, name, path, _, capabilities in _ENTRY.iter_unpack(
                body[first : first + count * _ENTRY.size]
            )
            if flags == expected_flags
        )
    except struct.error as error:
        raise ValueError(f"truncated: {error}") from error


def _start(body: bytes) -> int:
    """Where the part that we read begins; the offsets in it count from there."""
    if not body.startswith(_OLD):
        return 0
    _, count = _OLD_HEADER.unpack_from(body)
    end = _OLD_HEADER.size + count * _OLD_ENTRY.size
    return int(end + 7) // 8 * 8


def _levels(body: bytes, start: int, offset: int) -> Iterator[str]:
    """The names of the glibc-hwcaps subdirectories, by index."""
    magic, count = _EXTENSIONS.unpack_from(body, offset)
    if magic != _EXTENSION_MAGIC or count > MAX_ENTRIES:
        return
    for index in range(count):
        tag, _, at, size = _SECTION.unpack_from(body, offset + _EXTENSIONS.size + index * _SECTION.size)
        if tag == _LEVELS:
            for (name,) in struct.iter_unpack("<I", body[at : at + size // 4 * 4]):
                yield _text(body, start + name)


def _level(capabilities: int, levels: tuple[str, ...]) -> str:
    index = capabilities & 0xFFFFFFFF
    return levels[index] if capabilities & _FOR_LEVEL and index < len(levels) else ""


def _text(body: bytes, at: int) -> str:
    end = body.find(b"\0", at)
    if at >= len(body) or end < 0:
        raise ValueError(f"a name at byte {at} is outside the file")
    return body[at:end].decode("utf-8", "surrogateescape")
