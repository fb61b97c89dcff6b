"""The two names of a platform."""

from __future__ import annotations

from pipeline.model.platforms import MACHINES, platform_of


def test_the_two_names_of_a_platform_lead_to_each_other() -> None:
    assert {platform_of(machine): machine for machine in MACHINES.values()} == MACHINES


def test_a_processor_that_no_cell_is_for_keeps_its_name() -> None:
    assert platform_of("riscv64") == "linux/riscv64"
