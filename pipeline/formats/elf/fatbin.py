"""The GPU code in an object: fatbins one after another, each a header and entries of machine code or PTX.

NVIDIA documents its tools and not this format. What stands here was seen by compiling for every architecture
with nvcc 13.0, and is held against ``cuobjdump`` on the libraries of PyTorch, vLLM and CUDA. No
code is read: the header of an entry says what it is for, whether it is compressed or not.
"""

from __future__ import annotations

from collections import Counter
from struct import Struct
from typing import TYPE_CHECKING, Literal, NamedTuple

from pipeline.formats.elf.headers import ElfError
from pipeline.formats.elf.objects import DeviceCode

if TYPE_CHECKING:
    from collections.abc import Iterator

_FATBIN = Struct("<IHHQ")
"""Magic, version, bytes of this header, bytes of all entries."""
_ENTRY = Struct("<H2xIQ8xHHI8xQ")
"""Kind, bytes of this header, bytes of code, minor and major version of the code, architecture, flags."""

_MAGIC = 0xBA55ED50
_VERSION = 1
_KINDS: dict[int, Literal["cubin", "ptx"]] = {1: "ptx", 2: "cubin"}
"""Other kinds run nowhere as they are, such as 8, which is for the linker of device code to compile."""
_THIS_ONE, _FAMILY = 1 << 20, 1 << 21
"""The flags behind the suffixes ``a`` and ``f``."""

_PTX_OF_11_0, _PTX_OF_12_7 = (7, 0), (8, 6)
"""Majors are four apart, minors equal, but 12.6 brought no PTX of its own:
https://docs.nvidia.com/cuda/parallel-thread-execution/#release-notes-ptx-release-history."""

_MAX_HEADERS = 1 << 17
"""The richest library known, cuBLASLt, has 8,500."""
_PAGE = 1 << 12


class _Entry(NamedTuple):
    arch: int
    suffix: str
    kind: Literal["cubin", "ptx"]
    version: tuple[int, int]

    @property
    def name(self) -> str:
        return f"{'compute' if self.kind == 'ptx' else 'sm'}_{self.arch}{self.suffix}"


def read(section: memoryview) -> tuple[tuple[DeviceCode, ...], str]:
    """The code in a ``.nv_fatbin`` section, oldest architecture first, and the toolkit of its newest PTX.

    The toolkit ("13.0") is the oldest that can have written such PTX; empty where there is no PTX.
    Raises ElfError where the section is not what it should be.
    """
    entries = Counter(_entries(section))
    pieces: Counter[tuple[Literal["cubin", "ptx"], str]] = Counter()
    for entry, count in sorted(entries.items()):
        pieces[entry.kind, entry.name] += count
    newest = max((entry.version for entry in entries if entry.kind == "ptx"), default=(0, 0))
    return tuple(DeviceCode(*piece, count) for piece, count in pieces.items()), _toolkit(newest)


def _entries(section: memoryview) -> Iterator[_Entry]:
    at = end = 0
    for _ in range(_MAX_HEADERS):
        if at == end:
            at = _after_padding(section, at)
            if at == len(section):
                return
            at, end = _fatbin(section, at)
        else:
            kind, header, size, minor, major, arch, flags = _unpack(_ENTRY, section, at, end)
            at = _end(at, _ENTRY.size, header, size, end)
            suffix = "a" if flags & _THIS_ONE else "f" if flags & _FAMILY else ""
            if kind in _KINDS:
                yield _Entry(arch, suffix, _KINDS[kind], (major, minor))
    raise ElfError(f"more than {_MAX_HEADERS} headers in .nv_fatbin")


def _fatbin(section: memoryview, at: int) -> tuple[int, int]:
    """Where the entries of the fatbin at this byte begin and end."""
    magic, version, header, size = _unpack(_FATBIN, section, at, len(section))
    if (magic, version) != (_MAGIC, _VERSION):
        raise ElfError(f"no fatbin at byte {at} of .nv_fatbin: magic {magic:#x}, version {version}")
    return at + header, _end(at, _FATBIN.size, header, size, len(section))


def _after_padding(section: memoryview, at: int) -> int:
    """The next byte that is not zero: linkers fill up to where the next fatbin may begin."""
    while at < len(section):
        page = bytes(section[at : at + _PAGE])
        if rest := page.lstrip(b"\0"):
            return at + len(page) - len(rest)
        at += len(page)
    return at


def _unpack(layout: Struct, section: memoryview, at: int, end: int) -> tuple[int, ...]:
    if at + layout.size > end:
        raise ElfError(f"the header at byte {at} of .nv_fatbin goes beyond byte {end}, where it must end")
    return layout.unpack_from(section, at)


def _end(at: int, least: int, header: int, size: int, limit: int) -> int:
    """Where a header and what it speaks of end."""
    if header < least or at + header + size > limit:
        what = f"a header of {header} bytes and {size} bytes of code at byte {at} of .nv_fatbin"
        raise ElfError(f"{what}, which must end by byte {limit}")
    return at + header + size


def _toolkit(version: tuple[int, int]) -> str:
    """The CUDA toolkit that brought this version of PTX; empty for those before 11.0."""
    if version < _PTX_OF_11_0:
        return ""
    major, minor = version
    is_behind = version >= _PTX_OF_12_7 and major == _PTX_OF_12_7[0]
    return f"{major + 4}.{minor + is_behind}"
