"""GPU code in a ``.nv_fatbin`` section: what each header says, and how a false one is refused."""

from __future__ import annotations

import pytest

from pipeline.formats.elf import fatbin
from pipeline.formats.elf.headers import ElfError
from pipeline.formats.elf.objects import DeviceCode
from tests.crafted_elf import CUBIN, FAMILY, FOR_THE_LINKER, ONE_ARCHITECTURE, PTX, piece
from tests.crafted_elf import fatbin as crafted


def read(section: bytes) -> tuple[DeviceCode, ...]:
    return fatbin.read(memoryview(section))[0]


def toolkit(section: bytes) -> str:
    return fatbin.read(memoryview(section))[1]


def test_machine_code_and_ptx_are_told_apart() -> None:
    section = crafted(piece(CUBIN, 90), piece(PTX, 90, version=(9, 0)))
    assert read(section) == (DeviceCode("cubin", "sm_90", 1), DeviceCode("ptx", "compute_90", 1))


@pytest.mark.parametrize(("flags", "suffix"), [(0, ""), (ONE_ARCHITECTURE, "a"), (FAMILY, "f")])
def test_a_suffix_stays_what_it_is(flags: int, suffix: str) -> None:
    section = crafted(piece(CUBIN, 100, flags), piece(PTX, 100, flags, version=(9, 0)))
    assert [code.arch for code in read(section)] == [f"sm_100{suffix}", f"compute_100{suffix}"]


def test_other_flags_change_no_name() -> None:
    """Such as those for compression, debugging and a host of 64 bits."""
    assert read(crafted(piece(CUBIN, 100, 0x1008013))) == (DeviceCode("cubin", "sm_100", 1),)


def test_pieces_are_counted_over_all_fatbins_oldest_architecture_first() -> None:
    section = crafted(piece(CUBIN, 100), piece(CUBIN, 75)) + crafted(piece(CUBIN, 75))
    assert read(section) == (DeviceCode("cubin", "sm_75", 2), DeviceCode("cubin", "sm_100", 1))


def test_versions_of_one_architecture_are_one_row() -> None:
    section = crafted(piece(CUBIN, 75, version=(1, 7)), piece(CUBIN, 75, version=(1, 8)))
    assert read(section) == (DeviceCode("cubin", "sm_75", 2),)


@pytest.mark.parametrize("padding", [8, 4096 - 40, 10_000])
def test_fatbins_may_lie_apart(padding: int) -> None:
    section = crafted(piece(CUBIN, 75)) + bytes(padding) + crafted(piece(CUBIN, 75)) + bytes(padding)
    assert read(section) == (DeviceCode("cubin", "sm_75", 2),)


def test_code_for_the_linker_of_gpu_code_runs_nowhere_as_it_is() -> None:
    assert read(crafted(piece(FOR_THE_LINKER, 90), piece(CUBIN, 80))) == (DeviceCode("cubin", "sm_80", 1),)


@pytest.mark.parametrize("section", [b"", bytes(64), crafted()], ids=["no bytes", "zeros", "an empty fatbin"])
def test_a_section_may_hold_nothing(section: bytes) -> None:
    assert fatbin.read(memoryview(section)) == ((), "")


@pytest.mark.parametrize(
    ("version", "named"),
    [
        ((6, 5), ""),
        ((7, 0), "11.0"),
        ((7, 8), "11.8"),
        ((8, 0), "12.0"),
        ((8, 5), "12.5"),
        ((8, 6), "12.7"),
        ((8, 8), "12.9"),
        ((9, 0), "13.0"),
        ((9, 3), "13.3"),
    ],
)
def test_the_version_of_ptx_names_the_toolkit(version: tuple[int, int], named: str) -> None:
    """NVIDIA's table of PTX versions and releases; 12.6 has the PTX of 12.5."""
    assert toolkit(crafted(piece(PTX, 80, version=version))) == named


def test_the_newest_ptx_names_the_toolkit() -> None:
    section = crafted(piece(PTX, 80, version=(9, 0)), piece(PTX, 90, version=(8, 8)))
    assert toolkit(section) == "13.0"


def test_machine_code_names_no_toolkit() -> None:
    """Its version is that of the code's own format."""
    assert toolkit(crafted(piece(CUBIN, 80, version=(9, 0)))) == ""


WHOLE = crafted(piece(CUBIN, 80), piece(PTX, 80))


def test_a_section_that_is_cut_off_anywhere_is_refused() -> None:
    for length in range(1, len(WHOLE)):
        with pytest.raises(ElfError):
            read(WHOLE[:length])


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (0, b"\x51", "magic 0xba55ed51"),
        (4, b"\x02", "version 2"),
        (6, b"\x08", "a header of 8 bytes"),
        (8, b"\xff\xff", "65535 bytes of code"),
        (8, b"\x01", "must end"),
        (8, bytes(7) + b"\x80", "bytes of code"),
        (20, b"\x08", "a header of 8 bytes"),
        (24, b"\xff" * 8, "18446744073709551615 bytes of code"),
    ],
)
def test_a_header_that_cannot_be_is_refused(at: int, value: bytes, what: str) -> None:
    with pytest.raises(ElfError, match=what):
        read(WHOLE[:at] + value + WHOLE[at + len(value) :])


def test_bytes_after_the_last_fatbin_are_refused() -> None:
    with pytest.raises(ElfError, match=f"no fatbin at byte {len(WHOLE) + 8}"):
        read(WHOLE + bytes(8) + b"something else 1")


@pytest.mark.parametrize("section", [crafted() * 140_000, crafted(piece(9, 80, code=b"") * 140_000)])
def test_more_headers_than_any_library_has_are_refused(section: bytes) -> None:
    """Empty fatbins and pieces of no known kind count too, so time is bounded."""
    with pytest.raises(ElfError, match="more than 131072 headers"):
        read(section)
