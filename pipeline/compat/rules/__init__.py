"""The rules of compatibility: small pure functions over a cell, the facts and the conditions.

Each says what it compared, with values, and where they are from; what it has no facts for it calls unknown,
never good. A rule that has nothing to compare says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.compat.facts import Facts
from pipeline.compat.rules import cuda, devices, releases, system
from pipeline.nouns import Cell, Conditions, Finding

Rule = Callable[[Cell, Facts, Conditions], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    releases.variant,
    releases.python,
    releases.triton,
    releases.pin,
    cuda.major,
    cuda.minor,
    devices.archs,
    devices.driver,
    devices.forward_compatibility,
    system.glibc,
    system.libnuma,
    system.compiler,
    releases.companions,
    releases.transformers,
    releases.known_bad,
)
"""All rules, in the order in which they speak."""

__all__ = ["RULES", "Rule"]
