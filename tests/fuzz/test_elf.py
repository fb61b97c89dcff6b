"""Objects with bytes changed or cut off are read, or refused in one way, in bounded time and memory."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.formats.elf import fatbin, reader
from pipeline.formats.elf.objects import SharedObject
from pipeline.formats.elf.reader import ElfError
from tests.crafted_elf import CUBIN, FAMILY, PTX, Crafted, Symbol, piece
from tests.crafted_elf import fatbin as crafted

if TYPE_CHECKING:
    from collections.abc import Callable

CODE = crafted(piece(CUBIN, 80), piece(CUBIN, 100, FAMILY), piece(PTX, 120, version=(9, 0))) + bytes(24)
OBJECT = Crafted(
    interpreter="/lib64/ld-linux-x86-64.so.2",
    texts=((1, "libc.so.6"), (1, "libtorch.so"), (14, "lib.so.1"), (15, "/opt"), (29, "$ORIGIN:/usr/lib")),
    symbols=(Symbol("there", section=0), Symbol("pthread_create"), Symbol("create"), Symbol("here")),
    relocated=(1, 2),
    needs_versions=(("libc.so.6", (("GLIBC_2.34", 0), ("GLIBC_2.2.5", 2))), ("libm.so.6", (("V", 0),))),
    defines_versions=(("lib.so.1", 1), ("V_1", 0), ("V_2", 0)),
    sections=((".text", b"code"), (".nv_fatbin", CODE + CODE)),
).build()
COMPILED = min(Path(np.__file__).parent.rglob("*.so"), key=lambda path: path.stat().st_size).read_bytes()
"""The smallest extension of numpy: what compilers and those who repair wheels make of an object."""

MOST_MEMORY = 20_000_000
"""In bytes, for objects of at most some 20 kB."""

values = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(
        [0, 1, 2, 7, 0x7F, 0xFF, 0xFFF, 0xFFFF, 0x10000, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1]
    ).flatmap(
        lambda number: st.sampled_from([size for size in (1, 2, 4, 8) if number < 256**size]).map(
            lambda size: number.to_bytes(size, "little")
        )
    ),
)


@st.composite
def changed(draw: st.DrawFn, whole: bytes) -> bytes:
    """These bytes with some overwritten, and perhaps cut off or filled up."""
    content = bytearray(whole)
    # Headers are where a lie matters most, and they lie at the front, at the end, or at multiples of four.
    places = st.one_of(
        st.integers(0, min(255, len(whole) - 1)),
        st.integers(0, len(whole) // 4 - 1).map(lambda number: 4 * number),
        st.integers(max(0, len(whole) - 1024), len(whole) - 1),
    )
    for at, value in draw(st.lists(st.tuples(places, values), max_size=6)):
        content[at : at + len(value)] = value
    length = draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    return bytes(content[:length]) + draw(st.sampled_from([b"", b"\0", bytes(5000), b"\xff" * 64]))


def bounded(read: Callable[[memoryview], object], content: bytes) -> object:
    """What is read, or None where it is refused; in no more memory than such a file may ask for."""
    tracemalloc.start()
    try:
        with suppress(ElfError):
            return read(memoryview(content))
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST_MEMORY


def read_object(content: bytes) -> None:
    seen = bounded(lambda data: reader.read("lib.so", data), content)
    assert seen is None or isinstance(seen, SharedObject)


@given(changed(OBJECT))
@example(OBJECT)
def test_an_object_that_was_tampered_with_is_read_or_refused(content: bytes) -> None:
    read_object(content)


@given(changed(COMPILED))
@example(COMPILED)
def test_a_compiled_object_that_was_tampered_with_is_read_or_refused(content: bytes) -> None:
    read_object(content)


@given(st.binary(max_size=300).map(lambda rest: OBJECT[:64] + rest))
def test_anything_behind_a_file_header_is_read_or_refused(content: bytes) -> None:
    read_object(content)


@given(changed(CODE))
@example(CODE)
def test_gpu_code_that_was_tampered_with_is_read_or_refused(content: bytes) -> None:
    bounded(fatbin.read, content)


@given(
    st.lists(st.one_of(st.binary(max_size=40), st.just(CODE), st.just(bytes(4096))), max_size=5).map(b"".join)
)
def test_anything_between_gpu_code_is_read_or_refused(content: bytes) -> None:
    bounded(fatbin.read, content)
