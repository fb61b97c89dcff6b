"""A rule is asked once for all cells that agree in the axes that stand with it, so it must read no other."""

from __future__ import annotations

from dataclasses import fields
from itertools import product
from typing import Any

import pytest

from pipeline.compat import judge, shipped
from pipeline.compat.rules import RULES, Rule
from pipeline.model import Cell, Conditions, Verdict

AXES = {axis.name for axis in fields(Cell)}
CELLS = [
    Cell(*axes)
    for axes in product(
        ("2.4.0", "2.11.0", "2.13.0", "2.14.0", "9.9.9"),
        ("cpu", "cu121", "cu126", "cu130"),
        ("3.9", "3.11", "3.14"),
        (None, "0.6.0", "0.32.0", "0.33.0", "9.9.9"),
        ("linux/amd64", "linux/arm64"),
    )
]
CONDITIONS = (
    Conditions(),
    Conditions(
        archs=("sm_75", "sm_120"),
        gpus=("H100", "RTX 5090"),
        driver="550.54.14",
        glibc="2.28",
        gcc="14",
        pins=(("torchvision", "0.20.0"), ("transformers", "4.40.0")),
        compat="13.0",
    ),
)


class Watched(Cell):
    """A cell that knows which of its axes were read, also through its own properties."""

    def __getattribute__(self, name: str) -> Any:
        if name in AXES:
            object.__getattribute__(self, "__dict__").setdefault("_read", set()).add(name)
        return super().__getattribute__(name)


def read_by(rule: Rule, cell: Cell, conditions: Conditions) -> set[str]:
    """The axes that the rule reads of this cell."""
    watched = Watched(cell.torch, cell.cuda, cell.python, cell.vllm, cell.platform)
    for _ in rule.look(watched, shipped(), conditions):
        pass
    read: set[str] = vars(watched).get("_read", set())
    return read


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.look.__name__)
def test_a_rule_reads_no_axis_but_its_own(rule: Rule) -> None:
    read = {axis for cell in CELLS for under in CONDITIONS for axis in read_by(rule, cell, under)}
    assert read <= set(rule.axes)


def test_a_verdict_is_what_all_rules_say_whatever_was_judged_before() -> None:
    """Also where the rules had seen thousands of other cells."""
    for cell, under in product(CELLS, CONDITIONS):
        findings = tuple(finding for rule in RULES for finding in rule.look(cell, shipped(), under))
        assert judge(cell, under) == Verdict(findings)
