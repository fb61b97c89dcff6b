"""Judging: a cell, the facts and the conditions in; the verdict of all rules out."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain, groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from pipeline.compat.facts import shipped
from pipeline.compat.rules import RULES
from pipeline.model import Conditions, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.compat.facts import Facts
    from pipeline.compat.rules import Rule
    from pipeline.model import Cell, Finding, Spec

_COMPAT = re.compile(r"cuda-compat-([0-9]+)-([0-9]+)")


def judge(cell: Cell, conditions: Conditions | None = None, facts: Facts | None = None) -> Verdict:
    """What every rule says of this cell: every reason, not only the first."""
    rules = _rules(facts or shipped(), conditions or Conditions())
    return Verdict(tuple(chain.from_iterable([rule(cell) for rule in rules])))


@lru_cache(maxsize=256)
def _rules(facts: Facts, conditions: Conditions) -> tuple[Callable[[Cell], tuple[Finding, ...]], ...]:
    """All rules in their order; those that stand beside each other and look at the same axes as one."""
    groups = groupby(RULES, key=attrgetter("axes"))
    return tuple(_once(axes, tuple(rules), facts, conditions) for axes, rules in groups)


def _once(
    axes: tuple[str, ...], rules: tuple[Rule, ...], facts: Facts, conditions: Conditions
) -> Callable[[Cell], tuple[Finding, ...]]:
    """These rules, asked once for each combination of what they look at: a matrix has thousands of cells."""
    judged: dict[tuple[str | None, ...], tuple[Finding, ...]] = {}
    values_of = attrgetter(*axes)

    def findings(cell: Cell) -> tuple[Finding, ...]:
        values = values_of(cell)
        if values not in judged:
            judged[values] = tuple(
                finding for rule in rules for finding in rule.look(cell, facts, conditions)
            )
        return judged[values]

    return findings


def conditions_of(spec: Spec) -> Conditions:
    """The conditions that the matrix sets for a cell: its base, the architectures asked for, its pins."""
    compat = next((match for name in spec.system if (match := _COMPAT.fullmatch(name))), None)
    return Conditions(
        archs=spec.archs,
        glibc=spec.base.glibc,
        gcc=spec.base.gcc,
        named_base=spec.base.image is not None,
        pins=tuple((name, at) for pin in spec.packages for name, _, at in [pin.partition("==")]),
        compat=f"{compat[1]}.{compat[2]}" if compat else None,
    )
