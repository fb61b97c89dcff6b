"""The rules of compatibility: small pure functions over a cell, the facts and the conditions.

Each says what it compared, with values, and where they are from; what it has no facts for it calls unknown,
never good. A rule that has nothing to compare says nothing. With each stand the axes of a cell that it
looks at: cells that agree in those get the same findings, so it is asked only once for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.compat.rules import companions, cuda, devices, releases, system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.compat.facts import Facts
    from pipeline.model import Cell, Conditions, Finding


class Rule(NamedTuple):
    """A rule, and the axes that it looks at; a test sees to it that it looks at no other."""

    look: Callable[[Cell, Facts, Conditions], Iterator[Finding]]
    axes: tuple[str, ...]


BUILD = ("torch", "cuda", "platform")
STACK = (*BUILD, "vllm")
ALL = (*STACK, "python")

RULES: tuple[Rule, ...] = (
    Rule(releases.variant, BUILD),
    Rule(releases.default_index, BUILD),
    Rule(releases.whole, STACK),
    Rule(releases.python_of_torch, ("torch", "platform", "python")),
    Rule(releases.python_of_vllm, ("vllm", "cuda", "platform", "python")),
    Rule(releases.triton, (*BUILD, "python")),
    Rule(releases.pin, ALL),
    Rule(cuda.major, STACK),
    Rule(cuda.minor, STACK),
    Rule(devices.archs, STACK),
    Rule(devices.driver, BUILD),
    Rule(devices.gpus_driver, BUILD),
    Rule(devices.forward_compatibility, BUILD),
    Rule(system.glibc_of_torch, ("torch", "platform")),
    Rule(system.glibc_of_vllm, ("vllm", "cuda", "platform")),
    Rule(system.libnuma, ("vllm", "cuda", "platform")),
    Rule(system.compiler, BUILD),
    Rule(companions.pinned, ALL),
    Rule(companions.held_back, STACK),
    Rule(releases.known_bad, ALL),
)
"""All rules, in the order in which they speak."""

__all__ = ["RULES", "Rule"]
