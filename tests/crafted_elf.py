"""ELF objects and fatbins made by hand, so that a test can say exactly what is in them, or what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack
from typing import Literal

ADDRESS = 0x10000
"""Where the one segment is mapped: what lies at an address lies that many bytes earlier in the file."""

GLOBAL, WEAK, UNIQUE, LOCAL = 1, 2, 10, 0
X86_64, AARCH64 = 62, 183
DEFAULT, HIDDEN, PROTECTED = 0, 2, 3
PTX, CUBIN, FOR_THE_LINKER = 1, 2, 8
ONE_ARCHITECTURE, FAMILY = 1 << 20, 1 << 21


def piece(
    kind: int, arch: int, flags: int = 0, *, version: tuple[int, int] = (1, 8), code: bytes = b"code" * 4
) -> bytes:
    """One entry of a fatbin, with the header of 64 bytes that nvcc 13.0 writes."""
    major, minor = version
    return (
        pack(
            "<HHIQIIHHIIIQQQ", kind, 0x101, 64, len(code), 0, 64, minor, major, arch, 0, 0, 0x11 | flags, 0, 0
        )
        + code
    )


def fatbin(*pieces: bytes) -> bytes:
    """Pieces of GPU code with the header before them."""
    body = b"".join(pieces)
    return pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


@dataclass(frozen=True)
class Symbol:
    """A dynamic symbol: undefined where ``section`` is 0."""

    name: str
    section: int = 1
    bind: int = GLOBAL
    visible: int = DEFAULT


@dataclass(frozen=True)
class Crafted:
    """An object. Versions have flags: 2 where a needed one is weak, 1 where one is the object's own name.

    ``stack`` are the flags of PT_GNU_STACK, which is left out for None.
    ``tables`` (bytes) and ``dynamic`` (numbers) are put behind all other entries of the dynamic section, and
    ``without`` are tags left out of it.
    """

    machine: int = X86_64
    bits: int = 2
    order: int = 1
    system: int = 0
    interpreter: str = ""
    texts: tuple[tuple[int, str], ...] = ()
    symbols: tuple[Symbol, ...] = ()
    hash: Literal["gnu", "old", "none"] = "gnu"
    relocated: tuple[int, ...] = ()
    needs_versions: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    defines_versions: tuple[tuple[str, int], ...] = ()
    sections: tuple[tuple[str, bytes], ...] = ()
    tables: tuple[tuple[int, bytes], ...] = ()
    dynamic: tuple[tuple[int, int], ...] = ()
    without: tuple[int, ...] = ()
    is_linked: bool = True
    stack: int | None = None
    _bytes: bytearray = field(default_factory=bytearray, init=False, repr=False, compare=False)

    def build(self) -> bytes:
        """The bytes of it."""
        self._bytes[:] = bytes(64 + 4 * 56)
        names = _Names()
        interpreter = self._put(self.interpreter.encode() + b"\0")
        dynamic, size = self._dynamic(names) if self.is_linked else (0, 0)
        sections, count = self._sections()
        segments = [(1, 0, ADDRESS, len(self._bytes))]
        if self.is_linked:
            segments.append((2, dynamic, ADDRESS + dynamic, size))
        if self.interpreter:
            segments.append((3, interpreter, ADDRESS + interpreter, len(self.interpreter) + 1))
        flags = [4] * len(segments)
        if self.stack is not None:
            segments.append((0x6474E551, 0, 0, 0))
            flags.append(self.stack)
        header = pack(
            "<4sBBBB8xHHIQQQIHHHHHH",
            b"\x7fELF",
            self.bits,
            self.order,
            1,
            self.system,
            3,
            self.machine,
            1,
            0,
            64,
            sections,
            0,
            64,
            56,
            len(segments),
            64,
            count,
            count - 1 if count else 0,
        )
        self._bytes[: len(header)] = header
        for number, (kind, offset, address, length) in enumerate(segments):
            entry = pack("<IIQQQQQQ", kind, flags[number], offset, address, address, length, length, 8)
            self._bytes[64 + 56 * number : 120 + 56 * number] = entry
        return bytes(self._bytes)

    def _put(self, content: bytes) -> int:
        """Append it, at a multiple of eight; returns where it lies in the file."""
        self._bytes.extend(bytes(-len(self._bytes) % 8))
        at = len(self._bytes)
        self._bytes.extend(content)
        return at

    def _dynamic(self, names: _Names) -> tuple[int, int]:
        entries = [(tag, names.at(text)) for tag, text in self.texts]
        # Those that others may look up come last, as the GNU hash table wants it.
        ordered = sorted(self.symbols, key=lambda symbol: symbol.section != 0)
        table = b"".join(
            pack("<IBBHQQ", names.at(one.name), one.bind << 4, one.visible, one.section, 16, 8)
            for one in ordered
        )
        entries.append((6, ADDRESS + self._put(bytes(24) + table)))
        hashed = sum(symbol.section != 0 for symbol in ordered)
        count = len(ordered) + 1
        if self.hash == "old":
            entries.append((4, ADDRESS + self._put(pack("<IIII", 1, count, 0, 0))))
        if self.hash == "gnu":
            first = count - hashed
            chain = [0] * (hashed - 1) + [1] if hashed else []
            words = (1, first, 1, 0, 0, 0, first if hashed else 0, *chain)
            entries.append((0x6FFFFEF5, ADDRESS + self._put(pack(f"<{len(words)}I", *words))))
        if self.relocated:
            body = b"".join(pack("<QIIq", 0, 6, number, 0) for number in self.relocated)
            entries += [(7, ADDRESS + self._put(body)), (8, len(body)), (9, 24)]
        if self.needs_versions:
            entries.append((0x6FFFFFFE, ADDRESS + self._put(self._needed(names))))
        if self.defines_versions:
            entries.append((0x6FFFFFFC, ADDRESS + self._put(self._defined(names))))
        entries += [(5, ADDRESS + self._put(bytes(names.table))), (10, len(names.table))]
        entries = [entry for entry in entries if entry[0] not in self.without]
        entries += [(tag, ADDRESS + self._put(table)) for tag, table in self.tables]
        body = b"".join(pack("<qQ", *entry) for entry in [*entries, *self.dynamic, (0, 0)])
        return self._put(body), len(body)

    def _needed(self, names: _Names) -> bytes:
        parts = []
        for number, (file, versions) in enumerate(self.needs_versions, start=1):
            size = 16 + 16 * len(versions)
            following = size if number < len(self.needs_versions) else 0
            parts.append(pack("<HHIII", 1, len(versions), names.at(file), 16, following))
            for left, (version, flags) in zip(reversed(range(len(versions))), versions, strict=True):
                parts.append(pack("<IHHII", _hash(version), flags, 2, names.at(version), 16 if left else 0))
        return b"".join(parts)

    def _defined(self, names: _Names) -> bytes:
        parts = []
        for number, (version, flags) in enumerate(self.defines_versions, start=1):
            following = 28 if number < len(self.defines_versions) else 0
            parts.append(pack("<HHHHIII", 1, flags, number, 1, 0, 20, following))
            parts.append(pack("<II", names.at(version), 0))
        return b"".join(parts)

    def _sections(self) -> tuple[int, int]:
        """Where the section headers lie and how many they are: an empty one, those asked for, their names."""
        if not self.sections:
            return 0, 0
        names = _Names()
        headers = [bytes(64)]
        for name, content in self.sections:
            at = self._put(content)
            headers.append(pack("<IIQQQQIIQQ", names.at(name), 1, 2, 0, at, len(content), 0, 0, 8, 0))
        own = names.at(".shstrtab")
        at = self._put(bytes(names.table))
        headers.append(pack("<IIQQQQIIQQ", own, 3, 0, 0, at, len(names.table), 0, 0, 1, 0))
        return self._put(b"".join(headers)), len(headers)


class _Names:
    """A table of names, each ended by a zero byte; one may be the end of another, as linkers have it."""

    def __init__(self) -> None:
        self.table = bytearray(1)
        self._places = {"": 0}

    def at(self, name: str) -> int:
        """Where this name begins, which is added where it is not there."""
        if name not in self._places:
            text = name.encode() + b"\0"
            at = self.table.find(text) if len(self._places) < 100 else -1
            self._places[name] = len(self.table) if at < 0 else at
            self.table += text if at < 0 else b""
        return self._places[name]


def _hash(name: str) -> int:
    """The hash of a name in System V's ABI, as its own words have it."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high
    return value
