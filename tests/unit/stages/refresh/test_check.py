"""What must hold of the rows before they are written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from pipeline.compat.facts import shipped
from pipeline.stages.refresh import check
from tests.unit.stages.refresh.artefacts import TORCH, VLLM

if TYPE_CHECKING:
    from pipeline.compat.rows import Artefact


def codes(*rows: Artefact) -> list[str]:
    """What is wrong with these rows, by code."""
    return [reason.code for reason in check.sound(rows)]


def test_rows_that_agree_with_themselves_pass() -> None:
    assert codes(TORCH, VLLM) == []


def test_the_facts_that_are_shipped_pass() -> None:
    assert list(check.sound(shipped().artefacts)) == []


@pytest.mark.parametrize("fact", ["cuda", "archs", "glibc_seen", "needs", "pins"])
def test_a_fact_without_a_source_is_refused(fact: str) -> None:
    rest = tuple((name, member) for name, member in TORCH.read_from if name != fact)
    (reason,) = check.sound([replace(TORCH, read_from=rest)])
    assert reason.code == "source"
    assert fact in reason.text


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (replace(TORCH, cuda="12.8"), "METADATA brings CUDA 13.0, its torch/version.py says 12.8"),
        (replace(TORCH, cuda=None), "says None"),
        (replace(TORCH, pins=("nvidia-cuda-runtime-cu12==12.6.77",)), "brings CUDA 12.6"),
        (replace(VLLM, cuda="12.9"), "links the runtime of CUDA 13, its CUDA is 12.9"),
    ],
    ids=["other", "none", "older requirement", "runtime"],
)
def test_a_wheel_that_contradicts_itself_on_cuda_is_refused(row: Artefact, told: str) -> None:
    found = [reason for reason in check.sound([row, TORCH]) if reason.code == "cuda"]
    assert told in found[0].text


def test_a_requirement_for_another_machine_brings_no_cuda_here() -> None:
    """The METADATA of a wheel for aarch64 often tells what x86-64 needs."""
    pin = 'nvidia-cuda-runtime-cu12==12.8.90; platform_machine == "x86_64"'
    arm = replace(TORCH, machine="aarch64", cuda=None, archs=(), needs=(), pins=(pin,))
    assert check.metadata_cuda(arm) is None
    assert codes(arm) == []


def test_a_damaged_wheel_is_not_blamed_for_what_could_not_be_read() -> None:
    told = (("damaged", "the whole file"), ("pins", "METADATA"))
    row = replace(TORCH, cuda=None, archs=None, glibc_seen=None, needs=None, damaged="broken", read_from=told)
    assert codes(row) == []


def test_a_pin_on_a_torch_without_a_row_is_refused() -> None:
    (reason,) = check.sound([TORCH, replace(VLLM, pins=("torch==2.14.0+cpu",))])
    assert reason.code == "torch"
    assert "2.14.0+cpu" in reason.text


def test_more_glibc_than_the_tag_says_is_recorded_and_no_error() -> None:
    assert codes(replace(TORCH, glibc="2.5", glibc_seen="2.29")) == []


def test_a_row_whose_release_vanished_is_told() -> None:
    (reason,) = check.lost([TORCH, VLLM], [("torch", "2.13.0", "x86_64")])
    assert "vllm 0.32.0 x86_64 is in the facts" in reason.text


def test_a_newest_release_without_a_row_is_told() -> None:
    (reason,) = check.absent([TORCH], {"torch": Version("2.14.0")})
    assert "torch 2.14.0 is the newest release on the index and has no row" in reason.text
