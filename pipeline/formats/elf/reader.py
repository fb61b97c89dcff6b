"""ELF objects, read as the dynamic loader reads them: by program headers and the dynamic section.

Only GPU code is found by its section's name, as NVIDIA's own tools find it. What is read is what is needed:
headers, the dynamic section, symbols and their names; so an object of half a gigabyte, mapped into memory,
costs milliseconds. Nothing that a file says is believed before it is held against the file's size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.formats.elf import fatbin, headers
from pipeline.formats.elf.dynamic import Mapped, Names
from pipeline.formats.elf.headers import Binding, ElfError, Segment, Tag, many, one, part
from pipeline.formats.elf.objects import SharedObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.formats.elf.headers import Layout, Records

__all__ = ["ElfError", "read", "read_links"]

_MAGIC = b"\x7fELF"
READ_MACHINES = ("x86_64", "aarch64")
"""Those whose objects are read; 64 bits, the lowest byte first."""

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
_DEFAULT_IS_EXECUTABLE = frozenset({"x86_64"})
"""Machines where an object that says nothing of its stack gets an executable one: glibc's
DEFAULT_STACK_PERMS, in sysdeps/x86_64/stackinfo.h and sysdeps/aarch64/stackinfo.h."""
_64_BITS, _LOWEST_FIRST, _LINUX = 2, 1, (0, 3)
_IN_FILE = 1  # a section of another kind, such as those in a file of debug symbols, may have no bytes
_VISIBLE = (0, 3)  # by default, and protected
_WEAK_VERSION, _BASE_VERSION = 2, 1

_WORD, _BLOOM_WORD = np.dtype("<u4"), 8
_BLOCK = 1 << 12
_MAX_LIST = 1 << 16
"""Of folders to search, in bytes."""
_MAX_SYMBOLS = 1 << 20
"""The richest object known, Triton's, has 128,000."""
_MAX_VERSIONS = 1 << 15
"""A symbol names its version by a number of 15 bits."""


def read(path: str, data: memoryview) -> SharedObject | None:
    """What the loader and the GPU would find in a file; None where it is no ELF object.

    Objects of 64 bits for Linux on x86_64 and aarch64 are read; of others only the machine is named.
    ``path`` is what the object is called, and is not opened. What is returned does not refer to ``data``.

    Raises ElfError where the object is truncated, is not as its format says, or holds more than makes sense.
    """
    obj = read_links(path, data)
    if obj is None or obj.machine not in READ_MACHINES:
        return obj
    header, segments = _tables(data)
    if (code := _section(data, header, b".nv_fatbin\0")) is not None:
        device_code, compiled_by = fatbin.read(code)
        obj = replace(obj, device_code=device_code, compiled_by=compiled_by)
    mapped = Mapped(data, segments)
    return _with_symbols(obj, mapped) if mapped.is_linked else obj


def read_links(path: str, data: memoryview) -> SharedObject | None:
    """The same without symbols and code for GPUs: what the object is called, and what it asks of others."""
    if bytes(data[: len(_MAGIC)]) != _MAGIC:
        return None
    obj = SharedObject(path, _machine(data), "", "", (), (), (), frozenset(), frozenset(), (), (), None)
    if obj.machine not in READ_MACHINES:
        return obj
    _, segments = _tables(data)
    mapped = Mapped(data, segments)
    obj = replace(
        obj,
        interpreter=_interpreter(data, segments),
        executable_stack=_asks_for_executable_stack(obj.machine, segments),
    )
    return _with_links(obj, mapped) if mapped.is_linked else obj


def _tables(data: memoryview) -> tuple[dict[str, int], Records]:
    """The file header and the program headers."""
    header = one(data, headers.FILE, "the file header")
    return header, _headers(data, header, "segment", headers.SEGMENT)


def _machine(data: memoryview) -> str:
    header = one(data, headers.FILE, "the file header")
    number = int.from_bytes(data[18:20], "little" if header["order"] == _LOWEST_FIRST else "big")
    name = _MACHINES.get(number, f"machine {number}")
    if name in READ_MACHINES and (header["bits"], header["order"]) != (_64_BITS, _LOWEST_FIRST):
        return f"{name}, but not of 64 bits with the lowest byte first"
    if name in READ_MACHINES and header["system"] not in _LINUX:
        return f"{name}, but not for Linux"
    return name


def _headers(data: memoryview, header: dict[str, int], of: str, record: Layout) -> Records:
    """The program headers ("segment") or the section headers ("section")."""
    count, size, what = header[f"{of}_count"], header[f"{of}_size"], f"the {of} headers"
    if count and size != record.itemsize:
        raise ElfError(f"{what} have {size} bytes each instead of {record.itemsize}")
    return many(data, record, count, what, at=header[f"{of}s"])


def _interpreter(data: memoryview, segments: Records) -> str:
    for segment in segments[(segments["kind"] == Segment.INTERPRETER) & (segments["size"] > 0)][:1]:
        what = "the interpreter's path"
        return Names(part(data, int(segment["offset"]), int(segment["size"]), what)).one(0, what)
    return ""


def _asks_for_executable_stack(machine: str, segments: Records) -> bool:
    """By its PT_GNU_STACK, the last of which counts for the loader; without one, by the machine's default."""
    flags = segments["flags"][segments["kind"] == Segment.STACK]
    return bool(flags[-1] & headers.EXECUTABLE) if len(flags) else machine in _DEFAULT_IS_EXECUTABLE


def _section(data: memoryview, header: dict[str, int], name: bytes) -> memoryview | None:
    """The bytes of the first section of this name that has bytes in the file."""
    sections = _headers(data, header, "section", headers.SECTION)
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


def _names(mapped: Mapped) -> Names:
    table, size = mapped.table(Tag.NAMES), mapped.value(Tag.NAMES_SIZE)
    if table is None or size is None:
        raise ElfError("the dynamic section has no table of names")
    return Names(part(table, 0, size, Tag.NAMES.what))


def _with_links(obj: SharedObject, mapped: Mapped) -> SharedObject:
    """The same with what the dynamic section says of the object and of others."""
    names, soname = _names(mapped), mapped.value(Tag.SONAME)
    return replace(
        obj,
        soname="" if soname is None else names.one(soname, Tag.SONAME.what),
        needs=tuple(names.one(at, Tag.NEEDED.what) for at in mapped.values(Tag.NEEDED)),
        rpath=_folders(mapped, names, Tag.RPATH),
        runpath=_folders(mapped, names, Tag.RUNPATH),
        version_needs=tuple(_needed_versions(mapped, names)),
        version_defines=tuple(_defined_versions(mapped, names)),
    )


def _with_symbols(obj: SharedObject, mapped: Mapped) -> SharedObject:
    """The same with the symbols that others must define, and with those that it defines for others."""
    names, symbols = _names(mapped), _symbols(mapped)
    binding, is_elsewhere = symbols["info"] >> 4, symbols["section"] == 0
    is_visible = np.isin(symbols["other"] & 3, _VISIBLE)
    undefined = symbols[is_elsewhere & np.isin(binding, (Binding.GLOBAL, Binding.UNIQUE))]
    defined = symbols[~is_elsewhere & is_visible & (binding != Binding.LOCAL)]
    return replace(obj, undefined=names.many(undefined["name"]), defined=names.many(defined["name"]))


def _folders(mapped: Mapped, names: Names, tag: Tag) -> tuple[str, ...]:
    """Folders as written: the loader ignores an empty list, and takes an empty folder for the current one."""
    at = mapped.value(tag)
    folders = "" if at is None else names.one(at, tag.what, _MAX_LIST)
    return tuple(folders.split(":")) if folders else ()


# -- symbols ------------------------------------------------------------------------------------------


def _symbols(mapped: Mapped) -> Records:
    table = mapped.table(Tag.SYMBOLS)
    if table is None:
        raise ElfError("the dynamic section has no table of symbols")
    count = _symbol_count(mapped)
    if count > _MAX_SYMBOLS:
        raise ElfError(f"{count} symbols, more than {_MAX_SYMBOLS}")
    return many(table, headers.SYMBOL, count, Tag.SYMBOLS.what)


def _symbol_count(mapped: Mapped) -> int:
    """How many symbols there are, which no header says.

    Either hash table leads to the last one, but a GNU one holds only what others may look up: where that is
    nothing, the last symbol that matters is the last that a relocation asks for.
    """
    if (table := mapped.table(Tag.HASH_TABLE)) is not None:
        return one(table, headers.HASH, Tag.HASH_TABLE.what)["symbols"]
    if (table := mapped.table(Tag.GNU_HASH_TABLE)) is not None and (count := _hashed_count(table)):
        return count
    return max(
        _relocated_count(mapped, Tag.RELOCATIONS, Tag.RELOCATIONS_SIZE),
        _relocated_count(mapped, Tag.LATE_RELOCATIONS, Tag.LATE_RELOCATIONS_SIZE),
    )


def _hashed_count(table: memoryview) -> int:
    """One more than the number of the last symbol in the table; 0 where it is empty.

    After the buckets, which name the first symbol of each chain, the table has a word for every symbol, from
    the first that others may look up; its lowest bit says that a chain ends there.
    """
    what = Tag.GNU_HASH_TABLE.what
    header = one(table, headers.GNU_HASH, what)
    buckets = headers.GNU_HASH.itemsize + _BLOOM_WORD * header["bloom"]
    last = int(many(table, _WORD, header["buckets"], what, at=buckets).max(initial=0))
    if last < max(header["first"], 1):
        return 0
    words = table[buckets + _WORD.itemsize * (header["buckets"] + last - header["first"]) :]
    for begin in range(0, len(words), _BLOCK):
        block = words[begin : begin + _BLOCK]
        ends = np.flatnonzero(many(block, _WORD, len(block) // _WORD.itemsize, what) & 1)
        if len(ends):
            return last + begin // _WORD.itemsize + int(ends[0]) + 1
    raise ElfError(f"{what} does not end")


def _relocated_count(mapped: Mapped, start: Tag, size: Tag) -> int:
    """One more than the number of the last symbol that these relocations ask for."""
    table, length = mapped.table(start), mapped.value(size)
    if table is None or length is None:
        return 0
    relocations = many(table, headers.RELOCATION, length // headers.RELOCATION.itemsize, start.what)
    return int(relocations["symbol"].max(initial=0)) + 1


# -- versions -----------------------------------------------------------------------------------------


def _needed_versions(mapped: Mapped, names: Names) -> Iterator[tuple[str, tuple[str, ...]]]:
    """By soname, the versions without which the loader refuses; weak ones it does without."""
    what, left = Tag.NEEDED_VERSIONS.what, iter(range(_MAX_VERSIONS))
    if (table := mapped.table(Tag.NEEDED_VERSIONS)) is None:
        return
    for at, file in _chain(table, headers.NEEDED_FILE, 0, left, what):
        versions = tuple(
            names.one(version["name"], what)
            for _, version in _chain(table, headers.NEEDED_VERSION, at + file["parts"], left, what)
            if not version["flags"] & _WEAK_VERSION
        )
        if versions:
            yield names.one(file["name"], what), versions


def _defined_versions(mapped: Mapped, names: Names) -> Iterator[str]:
    """The versions that an object offers, without the one that is its own name."""
    what, left = Tag.DEFINED_VERSIONS.what, iter(range(_MAX_VERSIONS))
    if (table := mapped.table(Tag.DEFINED_VERSIONS)) is None:
        return
    for at, version in _chain(table, headers.DEFINED_VERSION, 0, left, what):
        if not version["flags"] & _BASE_VERSION:
            name = one(table, headers.DEFINED_NAME, what, at=at + version["parts"])
            yield names.one(name["name"], what)


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
    raise ElfError(f"{what} are more than {_MAX_VERSIONS}, which no symbol can tell apart")
