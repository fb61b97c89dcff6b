"""vLLM's builds for another CUDA: which one a cell needs, and that nothing is claimed of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.compat.rows import VllmBuild
from pipeline.compat.rules.other_builds import other_vllm
from pipeline.compat.stacks import newest_vllm
from tests.unit.compat.test_rules import CELL, CPU, FACTS, HERE, IMPOSSIBLE, OK, UNKNOWN, WARN, of_rule

if TYPE_CHECKING:
    from pipeline.compat.facts import Facts
    from pipeline.model import Cell, Level

BUILD = VllmBuild(">=0.20", "cu129", "x86_64", "documented", HERE)
WITH_BUILDS = replace(FACTS, vllm_builds=(BUILD,))
OLD = replace(CELL, cuda="cu126")
"""A cell whose PyTorch is for CUDA 12, of a vLLM that the default index has for CUDA 13."""


def build(cell: Cell, facts: Facts = WITH_BUILDS, *pins: tuple[str, str]) -> str | None:
    other = other_vllm(cell, facts, pins)
    return other.version if other else None


def test_a_cell_for_another_major_has_the_build_for_that() -> None:
    """Whatever its own minor: there is one for each major."""
    assert build(OLD) == "0.32.0+cu129"
    assert build(replace(OLD, cuda="cu129")) == "0.32.0+cu129"


@pytest.mark.parametrize(
    ("cell", "facts"),
    [
        (CELL, WITH_BUILDS),
        (replace(CELL, cuda="cu132"), WITH_BUILDS),
        (CPU, WITH_BUILDS),
        (replace(OLD, vllm=None), WITH_BUILDS),
        (replace(OLD, vllm="9.9.9"), WITH_BUILDS),
        (replace(OLD, cuda="cu118"), WITH_BUILDS),
        (OLD, FACTS),
        (OLD, replace(WITH_BUILDS, vllm_builds=(replace(BUILD, vllm=">=0.33"),))),
    ],
)
def test_a_cell_has_no_other_build(cell: Cell, facts: Facts) -> None:
    """Its own major; a CPU; no vLLM; nothing known of the release; no build known for that major."""
    assert build(cell, facts) is None


def test_what_the_matrix_pins_counts_first() -> None:
    """A build of one's own, also in the place of the default index's; of that very release alone."""
    assert build(OLD, WITH_BUILDS, ("vllm", "0.32.0+cu128")) == "0.32.0+cu128"
    assert build(CELL, FACTS, ("vllm", "0.32.0+cu130")) == "0.32.0+cu130"
    assert build(CELL, FACTS, ("vllm", "0.31.0+cu130")) is None


def found(rule: str, cell: Cell = OLD, **conditions: Any) -> tuple[Level, str]:
    (finding,) = of_rule(rule, cell, WITH_BUILDS, **conditions)
    return finding.level, finding.text


def test_what_its_makers_name_is_a_warning_that_says_where_it_is_and_that_nobody_read_it() -> None:
    level, text = found("cuda-major")
    assert level is WARN
    assert "vLLM 0.32.0+cu129 is by its name compiled for CUDA 12.9" in text
    assert "the default index does not have it: it is on https://wheels.vllm.ai/0.32.0/cu129" in text
    assert "nobody has read it here" in text


def test_what_nobody_names_but_the_matrix_is_unknown_and_it_is_said_where_a_lock_looks() -> None:
    level, text = found("cuda-major", OLD, pins=(("vllm", "0.32.0+cu128"),))
    assert level is UNKNOWN
    assert "in a local folder, else on https://wheels.vllm.ai/0.32.0/cu128" in text


def test_a_file_of_a_release_is_named_by_its_address() -> None:
    file = "https://example.org/v{release}/vllm-{release}+cu129.whl"
    (finding,) = of_rule("cuda-major", OLD, replace(FACTS, vllm_builds=(replace(BUILD, file=file),)))
    assert "it is on https://example.org/v0.32.0/vllm-0.32.0+cu129.whl" in finding.text


def test_what_its_makers_say_of_its_architectures_and_its_glibc_is_judged() -> None:
    told = replace(FACTS, vllm_builds=(replace(BUILD, archs=("sm_80",), glibc="2.34"),))
    assert [one.level for one in of_rule("archs", OLD, told, archs=("sm_90",))][-1] is IMPOSSIBLE
    assert [one.level for one in of_rule("glibc", OLD, told, glibc="2.31")][-1] is IMPOSSIBLE
    assert [one.level for one in of_rule("glibc", OLD, told, glibc="2.34")][-1] is OK


def test_a_build_of_another_machine_is_none() -> None:
    assert build(OLD, replace(FACTS, vllm_builds=(replace(BUILD, machine="aarch64"),))) is None


def test_neither_its_architectures_nor_its_glibc_are_those_of_the_default_build() -> None:
    """Those were read of another wheel."""
    of_archs = {one.text: one.level for one in of_rule("archs", OLD, WITH_BUILDS, archs=("sm_70",))}
    assert of_archs == {
        "torch 2.13.0 (cu126) has machine code for sm_70": OK,
        "for which architectures vLLM 0.32.0+cu129 is built is not known": UNKNOWN,
    }
    assert {one.level for one in of_rule("glibc", OLD, WITH_BUILDS, glibc="2.36")} == {OK, UNKNOWN}


def test_its_minor_is_compared_with_that_of_pytorch() -> None:
    assert found("cuda-minor")[0] is WARN
    assert of_rule("cuda-minor", replace(OLD, cuda="cu129"), WITH_BUILDS) == []


def test_a_pinned_build_for_another_major_is_impossible() -> None:
    level, text = found("cuda-major", CELL, pins=(("vllm", "0.32.0+cu129"),))
    assert level is IMPOSSIBLE
    assert "PyTorch cu130 for 13.0: the import fails" in text


def test_auto_takes_no_build_that_nobody_read() -> None:
    """Which release is newest for a CUDA is said of what was read."""
    assert newest_vllm(replace(OLD, vllm=None), WITH_BUILDS) is None
    assert newest_vllm(replace(CELL, vllm=None), WITH_BUILDS) == "0.32.1"
