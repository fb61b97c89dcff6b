"""ELF objects, read as the dynamic loader reads them: by program headers and the dynamic section.

Only GPU code is found by its section's name, as NVIDIA's own tools find it. What is read is what is needed:
headers, the dynamic section, symbols and their names; so an object of half a gigabyte, mapped into memory,
costs milliseconds. Nothing that a file says is believed before it is held against the file's size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.certify import fatbin, layout
from pipeline.certify.inventory import SharedObject
from pipeline.certify.layout import Binding, ElfError, Segment, Tag, many, one, part
from pipeline.certify.mapped import LONGEST, Mapped, Names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.certify.layout import Layout, Records

__all__ = ["ElfError", "read"]

_MAGIC = b"\x7fELF"
_OURS = ("x86_64", "aarch64")
_MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    190: "cuda",
    243: "riscv",
    247: "bpf",
    258: "loongarch",
}
_64_BITS, _LOWEST_FIRST, _LINUX = 2, 1, (0, 3)
_IN_FILE = 1  # a section of another kind, such as those in a file of debug symbols, may have no bytes
_VISIBLE = (0, 3)  # by default, and protected
_WEAK_VERSION, _BASE_VERSION = 2, 1

_BLOCK = 1 << 12
_LONGEST_LIST = 1 << 16
"""Of folders to search, in bytes."""
_MOST_SYMBOLS = 1 << 20
"""The richest object known, Triton's, has 128,000."""
_MOST_VERSIONS = 1 << 15
"""A symbol names its version by a number of 15 bits."""


def read(path: str, data: memoryview) -> SharedObject | None:
    """What the loader and the GPU would find in a file; None where it is no ELF object.

    Objects of 64 bits for Linux on x86_64 and aarch64 are read; of others only the machine is named.
    ``path`` is what the object is called, and is not opened. What is returned does not refer to ``data``.

    Raises ElfError where the object is truncated, is not as its format says, or holds more than makes sense.
    """
    if bytes(data[: len(_MAGIC)]) != _MAGIC:
        return None
    found = SharedObject(path, _machine(data), "", "", (), (), (), frozenset(), frozenset(), (), (), None)
    if found.machine not in _OURS:
        return found
    header = one(data, layout.FILE, "the file header")
    segments = _table(data, header, "segment", layout.SEGMENT)
    mapped = Mapped(data, segments)
    found = replace(found, interpreter=_interpreter(data, segments))
    if (code := _section(data, header, b".nv_fatbin\0")) is not None:
        device_code, compiled_by = fatbin.read(code)
        found = replace(found, device_code=device_code, compiled_by=compiled_by)
    dynamic = mapped.dynamic()
    return _linked(found, mapped, dynamic) if dynamic else found


def _machine(data: memoryview) -> str:
    header = one(data, layout.FILE, "the file header")
    number = int.from_bytes(data[18:20], "little" if header["order"] == _LOWEST_FIRST else "big")
    name = _MACHINES.get(number, f"machine {number}")
    if name in _OURS and (header["bits"], header["order"]) != (_64_BITS, _LOWEST_FIRST):
        return f"{name}, but not of 64 bits with the lowest byte first"
    if name in _OURS and header["system"] not in _LINUX:
        return f"{name}, but not for Linux"
    return name


def _table(data: memoryview, header: dict[str, int], of: str, record: Layout) -> Records:
    """The program headers ("segment") or the section headers ("section")."""
    count, size, what = header[f"{of}_count"], header[f"{of}_size"], f"the {of} headers"
    if count and size != record.itemsize:
        raise ElfError(f"{what} have {size} bytes each instead of {record.itemsize}")
    return many(data, record, count, what, at=header[f"{of}s"])


def _interpreter(data: memoryview, segments: Records) -> str:
    for segment in segments[segments["kind"] == Segment.INTERPRETER][:1]:
        what = "the interpreter's path"
        return Names(part(data, int(segment["offset"]), int(segment["size"]), what)).one(0, what)
    return ""


def _section(data: memoryview, header: dict[str, int], name: bytes) -> memoryview | None:
    """The bytes of the first section of this name that has bytes in the file."""
    sections = _table(data, header, "section", layout.SECTION)
    if header["names"] >= len(sections):
        return None
    names = _bytes(data, sections[header["names"]], "the names of the sections")
    for section in sections[sections["kind"] == _IN_FILE]:
        begin = int(section["name"])
        if names[begin : begin + len(name)] == name:
            return _bytes(data, section, name.decode().rstrip("\0"))
    return None


def _bytes(data: memoryview, section: Records, what: str) -> memoryview:
    return part(data, int(section["offset"]), int(section["size"]), what)


def _linked(found: SharedObject, mapped: Mapped, dynamic: dict[int, list[int]]) -> SharedObject:
    """The same with what the dynamic section says."""
    if not {Tag.NAMES, Tag.NAMES_SIZE, Tag.SYMBOLS} <= dynamic.keys():
        raise ElfError("the dynamic section names no symbols, or no table of names")
    what = "the table of names"
    names = Names(part(mapped.at(dynamic[Tag.NAMES][0], what), 0, dynamic[Tag.NAMES_SIZE][0], what))

    def texts(tag: Tag, longest: int = LONGEST) -> list[str]:
        """Of a tag that may stand once only, the loader takes the last."""
        places = dynamic.get(tag, []) if tag is Tag.NEEDED else dynamic.get(tag, [])[-1:]
        return [names.one(at, f"the dynamic section's {tag.name}", longest) for at in places]

    symbols = _symbols(mapped, dynamic)
    binding, is_elsewhere = symbols["info"] >> 4, symbols["section"] == 0
    is_visible = np.isin(symbols["other"] & 3, _VISIBLE)
    undefined = symbols[is_elsewhere & np.isin(binding, (Binding.GLOBAL, Binding.UNIQUE))]
    defined = symbols[~is_elsewhere & is_visible & (binding != Binding.LOCAL)]
    return replace(
        found,
        soname="".join(texts(Tag.SONAME)),
        needs=tuple(texts(Tag.NEEDED)),
        rpath=_folders(texts(Tag.RPATH, _LONGEST_LIST)),
        runpath=_folders(texts(Tag.RUNPATH, _LONGEST_LIST)),
        undefined=names.many(undefined["name"]),
        defined=names.many(defined["name"]),
        version_needs=tuple(_versions_needed(mapped, dynamic, names)),
        version_defines=tuple(_versions_defined(mapped, dynamic, names)),
    )


def _folders(paths: list[str]) -> tuple[str, ...]:
    """Folders as written: the loader ignores an empty list, and takes an empty folder for the current one."""
    return tuple(folder for path in paths if path for folder in path.split(":"))


# -- symbols ------------------------------------------------------------------------------------------


def _symbols(mapped: Mapped, dynamic: dict[int, list[int]]) -> Records:
    what = "the symbols"
    count = _symbol_count(mapped, dynamic)
    if count > _MOST_SYMBOLS:
        raise ElfError(f"{count} symbols, more than {_MOST_SYMBOLS}")
    return many(mapped.at(dynamic[Tag.SYMBOLS][0], what), layout.SYMBOL, count, what)


def _symbol_count(mapped: Mapped, dynamic: dict[int, list[int]]) -> int:
    """How many symbols there are, which no header says.

    Either hash table reaches the last one, but a GNU one holds only what others may look up: where that is
    nothing, the last symbol that counts is the last that a relocation asks for.
    """
    if table := dynamic.get(Tag.HASH):
        what = "the hash table"
        return int(many(mapped.at(table[0], what), "<u4", 2, what)[1])
    if table := dynamic.get(Tag.GNU_HASH):
        return _hashed_count(mapped.at(table[0], "the GNU hash table")) or _related_count(mapped, dynamic)
    return _related_count(mapped, dynamic)


def _hashed_count(table: memoryview) -> int:
    what = "the GNU hash table"
    header = one(table, layout.GNU_HASH, what)
    at = layout.GNU_HASH.itemsize + 8 * header["bloom"]
    last = int(many(table, "<u4", header["buckets"], what, at=at).max(initial=0))
    if last < header["first"] or not last:
        return 0
    chain = table[at + 4 * header["buckets"] + 4 * (last - header["first"]) :]
    for begin in range(0, len(chain) - 3, _BLOCK):
        block = chain[begin : begin + _BLOCK]
        ends = np.flatnonzero(many(block, "<u4", len(block) // 4, what) & 1)
        if len(ends):
            return last + begin // 4 + int(ends[0]) + 1
    raise ElfError(f"{what} does not end")


def _related_count(mapped: Mapped, dynamic: dict[int, list[int]]) -> int:
    count = 0
    for start, size in ((Tag.RELOCATIONS, Tag.RELOCATIONS_SIZE), (Tag.PLT, Tag.PLT_SIZE)):
        if start in dynamic and size in dynamic:
            number = dynamic[size][0] // layout.RELOCATION.itemsize
            what = "the relocations"
            relocations = many(mapped.at(dynamic[start][0], what), layout.RELOCATION, number, what)
            count = max(count, int(relocations["symbol"].max(initial=0)) + 1)
    return count


# -- versions -----------------------------------------------------------------------------------------


def _versions_needed(
    mapped: Mapped, dynamic: dict[int, list[int]], names: Names
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """By soname, the versions without which the loader refuses; it lets weak ones go."""
    what, left = "a needed version", iter(range(_MOST_VERSIONS))
    for start in dynamic.get(Tag.VERSIONS_NEEDED, ()):
        table = mapped.at(start, what)
        for at, file in _chain(table, layout.NEEDED_FILE, 0, left, what):
            versions = tuple(
                names.one(version["name"], what)
                for _, version in _chain(table, layout.NEEDED_VERSION, at + file["parts"], left, what)
                if not version["flags"] & _WEAK_VERSION
            )
            if versions:
                yield names.one(file["name"], what), versions


def _versions_defined(mapped: Mapped, dynamic: dict[int, list[int]], names: Names) -> Iterator[str]:
    """The versions that an object offers, without the one that is its own name."""
    what, left = "a defined version", iter(range(_MOST_VERSIONS))
    for start in dynamic.get(Tag.VERSIONS_DEFINED, ()):
        table = mapped.at(start, what)
        for at, version in _chain(table, layout.DEFINED_VERSION, 0, left, what):
            if not version["flags"] & _BASE_VERSION:
                yield names.one(one(table, layout.DEFINED_NAME, what, at=at + version["parts"])["name"], what)


def _chain(
    table: memoryview, record: Layout, at: int, left: Iterator[int], what: str
) -> Iterator[tuple[int, dict[str, int]]]:
    """Records of which each says how far away the next is, with the byte of each; as many as are ``left``."""
    for _ in left:
        values = one(table, record, what, at=at)
        yield at, values
        if not values["next"]:
            return
        at += values["next"]
    raise ElfError(f"{what} is one of more than {_MOST_VERSIONS}, which no symbol can tell apart")
