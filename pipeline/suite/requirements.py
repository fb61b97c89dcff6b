"""Which requirements of an environment hold, judged here from what its packages probe told.

The environment itself needs no package for that: PyTorch alone brings none that reads requirements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def broken(packages: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Every requirement that applies there, extras included, and does not hold: owner, requirement, seen."""
    installed: Mapping[str, str] = packages["installed"]
    found, seen = set(), set()
    todo = [(name, "") for name in installed]
    while todo:
        owner, extra = here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        for requirement in _applying(owner, extra, packages):
            name = canonicalize_name(requirement.name)
            if name not in installed:
                found.add((owner, str(requirement), "not installed"))
                continue
            if not requirement.specifier.contains(installed[name], prereleases=True):
                found.add((owner, str(requirement), installed[name]))
            todo += [(name, wanted) for wanted in requirement.extras]
    return sorted(found)


def pinned(name: str, owners: Sequence[str], packages: Mapping[str, Any]) -> str | None:
    """The version of ``name`` that the first of these owners which requires it pins; None for any version."""
    asked = [one for owner in owners for one in _applying(owner, "", packages) if one.name == name]
    exact = [bound.version for one in asked[:1] for bound in one.specifier if bound.operator == "=="]
    return exact[0] if exact else None


def _applying(owner: str, extra: str, packages: Mapping[str, Any]) -> Iterator[Requirement]:
    """What a package requires on that machine with this extra; nothing where it is not installed."""
    for requirement in map(Requirement, packages["requires"].get(owner, ())):
        if requirement.marker is None or requirement.marker.evaluate(packages["markers"] | {"extra": extra}):
            yield requirement
