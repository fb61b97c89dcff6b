"""What a shared object asks of the system that loads it: libraries, and versions of their symbols.

A whole one is read as the loader reads it (``reader.py``). Of a large one only its head is at hand: its
dynamic entries lie far behind, after code and GPU binaries, but the version needs (``.gnu.version_r``) and
the names that they use stand near the start. They are found by what they hold: every record carries the
System V hash of the name that it points to (Linux Standard Base, symbol versioning), so a record and its
name prove each other.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAME = re.compile(rb"\0(GLIBC_[0-9.]+)(?=\0)")
_NEED = struct.Struct("<HHIII")  # vn_version, vn_cnt, vn_file, vn_aux, vn_next
_AUX = struct.Struct("<IHHII")  # vna_hash, vna_flags, vna_other, vna_name, vna_next
_RECORD = 16
"""Bytes of either record."""

_WEAK = 2
"""The flag of a version that the loader does without."""

_MAX_NAMES, _MAX_MARKED, _MAX_TABLE = 64, 256, 1024 * _RECORD
"""What of a head is looked at: a real one has a tenth of that, and a crafted one must not cost minutes."""


@dataclass(frozen=True)
class Needs:
    """Libraries by name, and symbol versions such as ``GLIBC_2.17``.

    Of a head the libraries are only those whose symbols have versions.
    """

    libraries: tuple[str, ...]
    versions: tuple[str, ...]


def of_whole(content: bytes) -> Needs:
    """The needs of a shared object that is at hand as a whole. Raises ValueError where it is none for us."""
    from pipeline.formats.elf import reader  # noqa: PLC0415 - a head is read without numpy

    obj = reader.read_links("the object", memoryview(content))
    if obj is None or obj.machine not in reader.READ_MACHINES:
        raise ValueError(f"it is no ELF object that is read here{f': {obj.machine}' if obj else ''}")
    return Needs(obj.needs, tuple(version for _, versions in obj.version_needs for version in versions))


def of_head(pieces: Iterable[bytes], limit: int) -> Needs | None:
    """The version needs of a shared object from as little of its start as holds them.

    None where the first ``limit`` bytes do not hold all of them, as in a file that patchelf has rewritten.
    """
    head = bytearray()
    for piece in pieces:
        head += piece
        needs = _version_needs(bytes(head))
        if needs or len(head) >= limit:
            return needs
    return None


def _version_needs(head: bytes) -> Needs | None:
    tables = (_table(head, names, at) for names, at in islice(_marked(head), _MAX_MARKED))
    return next((needs for needs in tables if needs), None)


def _marked(head: bytes) -> Iterator[tuple[int, int]]:
    """Where names may begin, and where a record may lie that points to one of them and knows its hash."""
    for match in islice(_NAME.finditer(head), _MAX_NAMES):
        mark = struct.pack("<I", _hash(match[1]))
        at = head.find(mark)
        while 0 <= at <= len(head) - _RECORD:
            names = match.start(1) - _AUX.unpack_from(head, at)[3]
            if at % 4 == 0 and names > 0 and head[names] == 0:
                yield names, at
            at = head.find(mark, at + 1)


def _table(head: bytes, names: int, at: int) -> Needs | None:
    """The table around the record at this place; None where it is none, or the head ends before it does."""
    start = end = at
    while at - start < _MAX_TABLE and _is_record(head, names, start - _RECORD):
        start -= _RECORD
    while end - at < _MAX_TABLE and _is_record(head, names, end):
        end += _RECORD
    if end + _RECORD > len(head):
        return None
    needs = [place for place in range(start, end, _RECORD) if _is_need(head, names, place)]
    libraries = tuple(_text(head, names + _NEED.unpack_from(head, place)[2]) for place in needs)
    versions = tuple(name for place in needs for name in _versions(head, names, place))
    return Needs(libraries, versions) if libraries else None


def _versions(head: bytes, names: int, need: int) -> Iterator[str]:
    """The versions without which the loader refuses; weak ones it does without."""
    _, count, _, aux, _ = _NEED.unpack_from(head, need)
    at = need + aux
    for _ in range(count):
        if at + _RECORD > len(head):
            return
        _, flags, _, name, further = _AUX.unpack_from(head, at)
        if not flags & _WEAK:
            yield _text(head, names + name)
        at += further


def _is_record(head: bytes, names: int, at: int) -> bool:
    if at < 0 or at + _RECORD > len(head):
        return False
    digest, _, _, name, _ = _AUX.unpack_from(head, at)
    text = _text(head, names + name)
    return (text != "" and digest == _hash(text.encode())) or _is_need(head, names, at)


def _is_need(head: bytes, names: int, at: int) -> bool:
    version, count, file, aux, _ = _NEED.unpack_from(head, at)
    return version == 1 and count > 0 and aux >= _RECORD and ".so" in _text(head, names + file)


def _text(head: bytes, at: int) -> str:
    end = head.find(b"\0", at, at + 256)
    return head[at:end].decode("ascii", "replace") if 0 <= at < end else ""


def _hash(name: bytes) -> int:
    """The hash of a symbol's name in System V's ABI."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ (value >> 24) & 0xF0) & 0x0FFFFFFF
    return value
