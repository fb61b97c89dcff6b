"""The rules on GPUs and drivers: what each says, on facts made for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.compat.drivers import older
from pipeline.compat.rows import Floor
from pipeline.model import Cell, Level
from tests.unit.compat.test_rules import (
    BARE,
    CPU,
    FACTS,
    HERE,
    IMPOSSIBLE,
    OK,
    TORCH,
    UNKNOWN,
    WARN,
    level,
    of_rule,
    with_artefacts,
    with_rows,
)

OLD = Cell("2.10.0", "cu128", "3.11", None)


def test_machine_code_for_an_older_minor_of_the_same_major_is_native() -> None:
    assert [one.level for one in of_rule("archs", archs=("sm_86", "sm_90"))] == [OK, OK]


def test_an_architecture_without_code_is_impossible_in_each_part() -> None:
    findings = of_rule("archs", archs=("sm_70",))
    assert [one.level for one in findings] == [IMPOSSIBLE, IMPOSSIBLE]
    assert "no kernel image" in findings[0].text


def test_a_gpu_is_asked_for_by_its_name() -> None:
    assert {one.level for one in of_rule("archs", gpus=("rtx 5090",))} == {WARN}


@pytest.mark.parametrize(
    ("driver", "expected"), [(None, WARN), ("580.65.06", WARN), ("590.1", WARN), ("580.50", IMPOSSIBLE)]
)
def test_ptx_needs_the_driver_of_the_very_toolkit(driver: str | None, expected: Level) -> None:
    """Minor-version compatibility, which 580.50 would satisfy, does not cover it."""
    assert {one.level for one in of_rule("archs", BARE, archs=("sm_120",), driver=driver)} == {expected}


def test_ptx_of_a_toolkit_whose_driver_is_not_known_is_unknown() -> None:
    assert {
        one.level for one in of_rule("archs", BARE, with_rows(toolkit_drivers=()), archs=("sm_120",))
    } == {UNKNOWN}


def test_architectures_that_were_not_read_are_unknown() -> None:
    assert level("archs", BARE, with_artefacts(replace(TORCH, archs=None)), archs=("sm_90",)) is UNKNOWN


def test_a_build_of_pytorchs_own_index_has_architectures_of_its_own() -> None:
    cell = replace(BARE, cuda="cu126")
    assert level("archs", cell, archs=("sm_70",)) is OK
    assert level("archs", cell, archs=("sm_90",)) is IMPOSSIBLE


def test_a_cpu_cell_has_no_architectures_and_no_driver() -> None:
    assert of_rule("archs", CPU, archs=("sm_70",)) == of_rule("driver", CPU, driver="300.1") == []


@pytest.mark.parametrize(
    ("driver", "expected"),
    [(None, OK), ("580", OK), ("580.65.06", OK), ("590.44.01", OK), ("575.57.08", IMPOSSIBLE)],
)
def test_the_driver_is_at_or_above_the_floor_of_the_major(driver: str | None, expected: Level) -> None:
    assert level("driver", driver=driver) is expected


def test_a_driver_older_than_the_toolkits_own_runs_machine_code_only_and_that_is_said() -> None:
    (finding,) = of_rule("driver", driver="580.50")
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
    found = [
        one for one in of_rule("driver", cell, facts, **conditions) if "CUDA 12 needs" not in one.text[:14]
    ]
    (finding,) = found
    assert (finding.level, words in finding.text) == (expected, True), finding
    assert finding.source


def test_a_gpu_whose_drivers_nobody_looked_up_is_nothing_to_say_of_until_a_driver_is_named() -> None:
    assert all(finding.level is OK for finding in of_rule("driver", OLD, archs=("sm_87",)))


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
    (finding,) = of_rule("forward-compatibility", compat="13.0", **conditions)
    assert finding.level is expected
    assert word in finding.text
    refused = [one for one in of_rule("driver", compat="13.0", **conditions) if one.level is IMPOSSIBLE]
    assert not [one for one in refused if one.text.startswith("CUDA 13 needs")]


def test_a_compat_package_older_than_the_cuda_helps_nothing() -> None:
    assert level("forward-compatibility", compat="12.8", driver="535.1") is IMPOSSIBLE


def test_a_compat_package_compiles_ptx_in_the_drivers_place() -> None:
    findings = of_rule("archs", BARE, archs=("sm_120",), driver="535.1", compat="13.0")
    assert {one.level for one in findings} == {WARN}


def test_drivers_are_compared_as_numbers() -> None:
    assert older("525.60.13", "525.105.17")
    assert older("99.1", "100.1")
    assert not older("580.65.06", "580")
