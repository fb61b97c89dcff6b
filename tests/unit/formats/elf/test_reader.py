"""ELF objects: what the loader would find in one, and how one that lies is refused."""

from __future__ import annotations

import gc
import mmap
from dataclasses import replace
from struct import pack
from typing import TYPE_CHECKING

import pytest

from pipeline.formats.elf import reader
from pipeline.formats.elf.objects import DeviceCode
from pipeline.formats.elf.reader import ElfError
from tests.crafted_elf import (
    AARCH64,
    ADDRESS,
    CUBIN,
    HIDDEN,
    LOCAL,
    PROTECTED,
    PTX,
    UNIQUE,
    WEAK,
    X86_64,
    Crafted,
    Symbol,
    fatbin,
    piece,
)

if TYPE_CHECKING:
    from pipeline.formats.elf.objects import SharedObject

NEEDED, SONAME, RPATH, RUNPATH = 1, 14, 15, 29
EXECUTE, WRITE, READ = 1, 2, 4
BOTH = (Symbol("there", section=0), Symbol("here"))


def read(content: Crafted | bytes) -> SharedObject:
    """What is read of an object; there must be one."""
    found = reader.read("lib.so", memoryview(content.build() if isinstance(content, Crafted) else content))
    assert found
    return found


def refused(content: bytes) -> str:
    """Why this is refused."""
    with pytest.raises(ElfError) as error:
        reader.read("lib.so", memoryview(content))
    return str(error.value)


# -- which files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\x7fEL", b"#!/bin/sh\n", bytes(100)])
def test_a_file_of_another_kind_is_none(content: bytes) -> None:
    assert reader.read("run.sh", memoryview(content)) is None


def test_an_object_is_called_what_the_caller_calls_it() -> None:
    assert read(Crafted()).path == "lib.so"


@pytest.mark.parametrize(("machine", "name"), [(62, "x86_64"), (AARCH64, "aarch64")])
def test_objects_of_both_platforms_are_read(machine: int, name: str) -> None:
    seen = read(Crafted(machine=machine, symbols=BOTH))
    assert (seen.machine, seen.undefined) == (name, frozenset({"there"}))


@pytest.mark.parametrize(
    ("crafted", "name"),
    [
        (Crafted(machine=40), "arm"),
        (Crafted(machine=190), "cuda"),
        (Crafted(machine=4711), "machine 4711"),
        (Crafted(bits=1), "x86_64, but not of 64 bits with the lowest byte first"),
        (Crafted(machine=62 << 8, order=2), "x86_64, but not of 64 bits with the lowest byte first"),
        (Crafted(system=9), "x86_64, but not for Linux"),
    ],
)
def test_of_any_other_object_only_the_machine_is_named(crafted: Crafted, name: str) -> None:
    seen = read(replace(crafted, symbols=BOTH, texts=((SONAME, "lib.so.1"),)))
    assert seen == replace(read(Crafted(is_linked=False)), machine=name, executable_stack=False)


@pytest.mark.parametrize(
    ("machine", "flags", "asks"),
    [
        (X86_64, READ | WRITE | EXECUTE, True),
        (X86_64, READ | WRITE, False),
        (X86_64, None, True),
        (AARCH64, None, False),
        (AARCH64, READ | WRITE | EXECUTE, True),
    ],
)
def test_an_object_asks_for_an_executable_stack_by_its_header_or_by_the_machines_default(
    machine: int, flags: int | None, asks: bool
) -> None:
    """Glibc's DEFAULT_STACK_PERMS: with PF_X in sysdeps/x86_64/stackinfo.h, without in sysdeps/aarch64."""
    assert read(Crafted(machine=machine, stack=flags)).executable_stack is asks


def test_the_mark_of_gnu_is_linux_too() -> None:
    assert read(Crafted(system=3)).machine == "x86_64"


def test_an_object_with_nothing_to_link_is_read() -> None:
    """A static program, an object before linking, or a file of debug symbols."""
    seen = read(Crafted(is_linked=False))
    assert (seen.needs, seen.undefined, seen.device_code) == ((), frozenset(), None)


# -- what the dynamic section says --------------------------------------------------------------------


def test_needs_are_in_order() -> None:
    seen = read(Crafted(texts=((NEEDED, "libz.so.1"), (SONAME, "lib.so.2"), (NEEDED, "libc.so.6"))))
    assert (seen.soname, seen.needs) == ("lib.so.2", ("libz.so.1", "libc.so.6"))


def test_search_paths_stay_as_written() -> None:
    seen = read(Crafted(texts=((RPATH, "$ORIGIN/../lib:/opt"), (RUNPATH, "${ORIGIN}::relative"))))
    assert (seen.rpath, seen.runpath) == (("$ORIGIN/../lib", "/opt"), ("${ORIGIN}", "", "relative"))


def test_an_empty_search_path_is_none() -> None:
    assert read(Crafted(texts=((RUNPATH, ""),))).runpath == ()


def test_of_two_search_paths_the_last_counts() -> None:
    """As the loader takes it."""
    assert read(Crafted(texts=((RUNPATH, "/first"), (RUNPATH, "/last")))).runpath == ("/last",)


def test_a_search_path_may_be_longer_than_a_path() -> None:
    """Some package managers list hundreds of folders."""
    folders = [f"/store/{number:040}/lib" for number in range(1000)]
    assert list(read(Crafted(texts=((RPATH, ":".join(folders)),))).rpath) == folders


def test_the_interpreter_is_named() -> None:
    assert (
        read(Crafted(interpreter="/lib64/ld-linux-x86-64.so.2")).interpreter == "/lib64/ld-linux-x86-64.so.2"
    )


def test_what_is_no_utf_8_in_a_name_is_shown_by_number() -> None:
    content = Crafted(texts=((NEEDED, "lib_.so"),)).build().replace(b"lib_.so", b"lib\xff.so")
    assert read(content).needs == (r"lib\xff.so",)


# -- symbols ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["gnu", "old"])
def test_symbols_are_found_by_either_hash_table(table: str) -> None:
    seen = read(Crafted(symbols=BOTH, hash=table))  # type: ignore[arg-type]
    assert (seen.undefined, seen.defined) == (frozenset({"there"}), frozenset({"here"}))


@pytest.mark.parametrize("table", ["gnu", "none"])
def test_where_no_hash_table_knows_them_relocations_do(table: str) -> None:
    """An object that offers nothing has an empty GNU hash table, and still needs symbols."""
    symbols = tuple(Symbol(f"need_{number}", section=0) for number in range(5))
    seen = read(Crafted(symbols=symbols, hash=table, relocated=(1, 5, 2)))  # type: ignore[arg-type]
    assert seen.undefined == {f"need_{number}" for number in range(5)}


def test_a_weak_symbol_may_stay_undefined() -> None:
    seen = read(
        Crafted(symbols=(Symbol("may", section=0, bind=WEAK), Symbol("must", section=0), Symbol("x")))
    )
    assert seen.undefined == {"must"}


def test_defined_is_what_others_can_look_up() -> None:
    symbols = (
        Symbol("global"),
        Symbol("weak", bind=WEAK),
        Symbol("unique", bind=UNIQUE),
        Symbol("protected", visible=PROTECTED),
        Symbol("hidden", visible=HIDDEN),
        Symbol("local", bind=LOCAL),
        Symbol("absolute", section=0xFFF1),
    )
    assert read(Crafted(symbols=symbols)).defined == {"global", "weak", "unique", "protected", "absolute"}


def test_names_may_share_an_end() -> None:
    """Linkers let the name of one symbol be the end of another's."""
    content = Crafted(symbols=(Symbol("pthread_create"), Symbol("create"))).build()
    assert content.count(b"create\0") == 1
    assert read(content).defined == {"pthread_create", "create"}


def test_a_hundred_thousand_symbols_are_read_at_once() -> None:
    names = {f"_ZN4name{number}Ev" for number in range(100_000)}
    assert read(Crafted(symbols=tuple(map(Symbol, names)))).defined == names


# -- versions -----------------------------------------------------------------------------------------


def test_needed_versions_are_told_by_file() -> None:
    needs = (("libc.so.6", (("GLIBC_2.34", 0), ("GLIBC_2.2.5", 0))), ("libm.so.6", (("GLIBC_2.29", 0),)))
    seen = read(Crafted(symbols=BOTH, needs_versions=needs))
    assert seen.version_needs == (
        ("libc.so.6", ("GLIBC_2.34", "GLIBC_2.2.5")),
        ("libm.so.6", ("GLIBC_2.29",)),
    )


def test_the_loader_does_without_a_weak_version() -> None:
    needs = (("libc.so.6", (("GLIBC_2.34", WEAK), ("GLIBC_2.2.5", 0))), ("libz.so.1", (("ZLIB_1.2", WEAK),)))
    assert read(Crafted(symbols=BOTH, needs_versions=needs)).version_needs == (
        ("libc.so.6", ("GLIBC_2.2.5",)),
    )


def test_defined_versions_leave_out_the_object_s_own_name() -> None:
    seen = read(Crafted(symbols=BOTH, defines_versions=(("lib.so.1", 1), ("V_1", 0), ("V_2", 0))))
    assert seen.version_defines == ("V_1", "V_2")


# -- GPU code -----------------------------------------------------------------------------------------


def test_gpu_code_is_found_by_its_section() -> None:
    section = fatbin(piece(CUBIN, 90), piece(PTX, 90, version=(9, 0)))
    seen = read(Crafted(sections=((".text", b"code"), (".nv_fatbin", section))))
    assert seen.device_code == (DeviceCode("cubin", "sm_90", 1), DeviceCode("ptx", "compute_90", 1))
    assert seen.compiled_by == "13.0"


def test_a_section_without_gpu_code_is_another_thing_than_no_section() -> None:
    assert read(Crafted(sections=((".nv_fatbin", b""),))).device_code == ()
    assert read(Crafted(sections=((".nv_fatbin_not", b"\1"),))).device_code is None


def test_relocatable_gpu_code_does_not_count() -> None:
    """It is the linker's: what it made of it is in ``.nv_fatbin``, and cuobjdump leaves it out too."""
    seen = read(Crafted(sections=(("__nv_relfatbin", fatbin(piece(CUBIN, 80))), (".nv_fatbin", fatbin()))))
    assert seen.device_code == ()


def test_gpu_code_needs_no_dynamic_section() -> None:
    crafted = Crafted(is_linked=False, sections=((".nv_fatbin", fatbin(piece(CUBIN, 80))),))
    assert read(crafted).device_code == (DeviceCode("cubin", "sm_80", 1),)


# -- objects that lie ---------------------------------------------------------------------------------

RICH = Crafted(
    interpreter="/lib64/ld-linux-x86-64.so.2",
    texts=((NEEDED, "libc.so.6"), (SONAME, "lib.so.1"), (RUNPATH, "$ORIGIN")),
    symbols=BOTH,
    needs_versions=(("libc.so.6", (("GLIBC_2.34", 0),)),),
    defines_versions=(("lib.so.1", 1), ("V_1", 0)),
    sections=((".nv_fatbin", fatbin(piece(CUBIN, 80))),),
)


def test_an_object_that_is_cut_off_anywhere_is_refused() -> None:
    """A broken download is never taken for an object that needs less."""
    whole = RICH.build()
    for length in range(4, len(whole)):
        assert refused(whole[:length])


def test_a_segment_that_is_cut_off_is_refused() -> None:
    """Also where nothing that is read lies in the part that is missing."""
    content = Crafted(symbols=BOTH).build()
    longer = content[: 64 + 32] + pack("<Q", len(content) + 1) + content[64 + 40 :]
    assert refused(longer).startswith("truncated: the segment at address 0x10000 would be bytes 0 to")


@pytest.mark.parametrize(
    ("tag", "what"),
    [
        (4, "the hash table"),
        (5, "the names"),
        (6, "the symbols"),
        (0x6FFFFEF5, "the gnu hash table"),
        (0x6FFFFFFC, "the defined versions"),
        (0x6FFFFFFE, "the needed versions"),
    ],
)
def test_an_address_that_no_segment_holds_is_refused(tag: int, what: str) -> None:
    assert f"{what} would be at address 0xffffff" in refused(
        replace(RICH, dynamic=((tag, 0xFFFFFF),)).build()
    )


def test_an_address_is_not_a_place_in_the_file() -> None:
    """The loader maps segments first, and an object is read as it does."""
    at = RICH.build().index(b"\0libc.so.6\0")
    assert "no segment" in refused(replace(RICH, dynamic=((5, at),)).build())
    assert read(replace(RICH, dynamic=((5, ADDRESS + at),))).needs == ("libc.so.6",)


@pytest.mark.parametrize(("tag", "what"), [(5, "names"), (6, "symbols"), (10, "names")])
def test_a_dynamic_section_without_names_or_symbols_is_refused(tag: int, what: str) -> None:
    assert refused(replace(RICH, without=(tag,)).build()) == f"the dynamic section has no table of {what}"


def test_a_name_that_does_not_end_is_refused() -> None:
    assert "no name of at most" in refused(replace(RICH, dynamic=((10, 5),)).build())


def test_a_symbol_whose_name_does_not_end_is_refused() -> None:
    content = Crafted(symbols=(Symbol("here"),), dynamic=((10, 3),))
    assert "a symbol's name at byte 1 has no end" in refused(content.build())


def test_headers_of_another_size_are_refused() -> None:
    content = bytearray(RICH.build())
    content[54] = 32
    assert "the segment headers have 32 bytes each instead of 56" in refused(bytes(content))


ENDLESS_NEEDS = pack("<HHIII", 1, 1, 0, 16, 0) + pack("<IHHII", 0, 0, 2, 0, 16) * 40_000
ENDLESS_OFFERS = pack("<HHHHIII", 1, 1, 2, 1, 0, 20, 20) * 40_000


@pytest.mark.parametrize(("tag", "table"), [(0x6FFFFFFE, ENDLESS_NEEDS), (0x6FFFFFFC, ENDLESS_OFFERS)])
def test_more_versions_than_a_symbol_can_tell_apart_are_refused(tag: int, table: bytes) -> None:
    """Each record leads to the next, so somebody must stop."""
    assert "are more than 32768" in refused(Crafted(symbols=BOTH, tables=((tag, table),)).build())


def test_symbols_beyond_number_are_refused() -> None:
    """No library has two million."""
    content = Crafted(symbols=BOTH, tables=((4, pack("<II", 1, 2_000_000)),)).build()
    assert refused(content) == "2000000 symbols, more than 1048576"


def test_names_that_would_fill_the_memory_are_refused() -> None:
    """Ten thousand symbols whose names are ends of one name of a megabyte would be 10 GB."""
    symbols = b"".join(pack("<IBBHQQ", begin, 0x10, 0, 1, 1, 0) for begin in range(10_000))
    names = b"x" * 1_000_000 + b"\0"
    tables = ((4, pack("<II", 1, 10_000)), (6, symbols), (5, names))
    content = Crafted(symbols=BOTH, tables=tables, dynamic=((10, len(names)),)).build()
    assert "names far longer than the table of 1000001 bytes" in refused(content)


def test_repeated_names_that_would_fill_the_memory_are_refused() -> None:
    """Ten thousand needs, each the same name of 4,000 bytes."""
    content = Crafted(texts=((NEEDED, "x" * 4000),) * 10_000).build()
    assert "names far longer than the table" in refused(content)


def test_nothing_that_is_returned_holds_the_bytes() -> None:
    """A mapping can be closed as soon as the object is read."""
    mapping = mmap.mmap(-1, 1 << 16)
    content = RICH.build()
    mapping[: len(content)] = content
    with memoryview(mapping) as data:
        seen = reader.read("lib.so", data)
    gc.collect()
    mapping.close()
    assert seen
    assert seen.needs == ("libc.so.6",)


def test_a_file_of_debug_symbols_has_nothing_to_link() -> None:
    """``objcopy --only-keep-debug`` leaves the headers of segments, and none of their bytes."""
    content = bytearray(Crafted(interpreter="/lib64/ld-linux-x86-64.so.2", symbols=BOTH).build())
    for number in range(3):
        content[64 + 56 * number + 32 : 64 + 56 * number + 40] = bytes(8)
    seen = read(bytes(content))
    assert (seen.interpreter, seen.undefined) == ("", frozenset())
