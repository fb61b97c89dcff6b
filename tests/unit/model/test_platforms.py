"""The two names of a platform."""

from __future__ import annotations

import pytest

from pipeline.model.platforms import MACHINES, platform_of


@pytest.mark.parametrize(("platform", "machine"), [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")])
def test_the_two_names_of_a_platform_lead_to_each_other(platform: str, machine: str) -> None:
    assert MACHINES[platform] == machine
    assert platform_of(machine) == platform


def test_a_processor_that_no_cell_is_for_keeps_its_name() -> None:
    assert platform_of("riscv64") == "linux/riscv64"
