"""What a shared object asks of its system, told from all of it and from its head."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.formats.elf import version_needs
from tests.crafted_elf import WEAK, Crafted, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterator


def a_library() -> bytes:
    """A real shared object of this Python."""
    found = importlib.util.find_spec("_ctypes")
    assert found
    assert found.origin
    return Path(found.origin).read_bytes()


def pieces(content: bytes, size: int = 1000) -> Iterator[bytes]:
    """The content, bit by bit."""
    yield from (content[start : start + size] for start in range(0, len(content), size))


def test_a_whole_shared_object_tells_its_libraries_and_versions() -> None:
    needs = version_needs.of_whole(a_library())
    assert "libc.so.6" in needs.libraries
    assert any(version.startswith("GLIBC_2.") for version in needs.versions)


def test_the_head_tells_the_same_versions_as_the_whole() -> None:
    """Found without the section table, which stands at the end of the file."""
    whole, head = version_needs.of_whole(a_library()), version_needs.of_head(pieces(a_library()), 1_000_000)
    assert head
    assert set(head.versions) == set(whole.versions)
    assert set(head.libraries) <= set(whole.libraries)


def test_no_more_of_a_head_is_taken_than_holds_the_versions() -> None:
    taken = []

    def counted() -> Iterator[bytes]:
        for piece in pieces(a_library() + bytes(10_000_000)):
            taken.append(len(piece))
            yield piece

    assert version_needs.of_head(counted(), 5_000_000)
    assert sum(taken) < len(a_library())


def test_a_head_that_ends_within_the_table_is_not_taken_for_all_of_it() -> None:
    """A lower bound of a member would be a lie about that member."""
    content = a_library()
    full = version_needs.of_head(pieces(content, 16), len(content))
    assert full
    for end in range(16, len(content), 16):
        part = version_needs.of_head([content[:end]], end)
        assert part in (None, full)
        if part:
            break


def test_bytes_that_have_shifted_are_not_believed() -> None:
    """A damaged deflate stream can go on and yield such; records stand on multiples of four."""
    assert version_needs.of_head([b"\0\0" + a_library()], 10_000_000) is None


def test_a_name_alone_proves_nothing() -> None:
    """Text that happens to be inside is no need: a record with its hash must point to it."""
    assert version_needs.of_head([b"\0GLIBC_2.99\0" * 1000], 100_000) is None


def test_what_is_no_shared_object_is_refused() -> None:
    with pytest.raises(ValueError, match="no ELF object"):
        version_needs.of_whole(b"MZ" + bytes(100))


def test_the_object_of_another_machine_is_refused() -> None:
    """It would say that it needs nothing."""
    with pytest.raises(ValueError, match="riscv"):
        version_needs.of_whole(Crafted(machine=243).build())


def test_gpu_code_in_a_format_that_nobody_knows_yet_hides_no_needs() -> None:
    content = Crafted(texts=((1, "libc.so.6"),), sections=((".nv_fatbin", b"new"),)).build()
    assert version_needs.of_whole(content).libraries == ("libc.so.6",)


def test_neither_reading_counts_a_weak_version() -> None:
    """The loader does without it, so it is no floor."""
    needs = (("libc.so.6", (("GLIBC_2.34", WEAK), ("GLIBC_2.2.5", 0))),)
    content = Crafted(symbols=(Symbol("there", section=0),), needs_versions=needs).build()
    head = version_needs.of_head([content], len(content))
    assert head
    assert head.versions == version_needs.of_whole(content).versions == ("GLIBC_2.2.5",)
