"""Which requirements of installed packages hold, judged from their metadata, wherever that was read.

What ``pip check`` finds is found (https://pip.pypa.io/en/stable/cli/pip_check/): what a package requires
there, by its markers, is installed in a version that fits, pre-releases and local parts included. Beyond that
an extra that one package asks of another brings its own requirements along.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MAX_LENGTH = 4096
"""Characters of one requirement that are read: they name a package, a range and a marker."""


MAX_LOOKS = 300_000
"""Requirements that are looked at in one judgement, those of a package once more for each extra of it. The 79
packages that this project is made with have 400."""


class TooManyError(ValueError):
    """There are more requirements than any honest environment has."""


class Fault(StrEnum):
    """What is wrong with a requirement."""

    MISSING = "not installed"
    OTHER_VERSION = "another version"
    UNREADABLE = "not readable"


@dataclass(frozen=True, order=True)
class Broken:
    """A requirement that does not hold: whose, what it says, of which package, and the version that is there.

    ``name`` is normalised, and empty where the requirement is not readable; ``seen`` is empty where nothing
    is installed, and else a version as its own metadata writes it.
    """

    owner: str
    requirement: str
    name: str
    installed: str
    fault: Fault

    def __str__(self) -> str:
        actual = self.installed if self.fault is Fault.OTHER_VERSION else self.fault.value
        return f"{self.owner} asks for {self.requirement}: {actual}"


@dataclass(frozen=True)
class Packages:
    """What one Python has: versions by normalised name, what each requires as it is written, its markers.

    ``markers`` are the values of all that markers may speak of, less ``extra``: what is left out there
    would be taken from the Python that judges.
    """

    installed: Mapping[str, str]
    requires: Mapping[str, Sequence[str]]
    markers: Mapping[str, str]

    @classmethod
    def from_probe(cls, probe: Mapping[str, Any]) -> Packages:
        """Those that the suite's packages probe told of."""
        return cls(probe["installed"], probe["requires"], probe["markers"])


def broken(packages: Packages) -> tuple[Broken, ...]:
    """Every requirement that applies in this Python, extras included, and does not hold.

    Raises TooManyError.
    """
    applying = _applying(packages, packages.installed)
    judged = (_judged(owner, requirement, packages) for owner, requirement in applying)
    return tuple(sorted({fault for fault in judged if fault}))


def needed(roots: Iterable[str], packages: Packages) -> frozenset[str]:
    """These packages and all that they require, directly or not, as far as it is installed.

    Raises TooManyError.
    """
    named = {name for name in roots if name in packages.installed}
    for _, requirement in _applying(packages, tuple(named)):
        if isinstance(requirement, Requirement):
            named.add(canonicalize_name(requirement.name))
    return frozenset(named & packages.installed.keys())


def askers(packages: Packages) -> Mapping[str, frozenset[str]]:
    """For each package that another one requires there, extras included, the names of those.

    Raises TooManyError.
    """
    owners: dict[str, set[str]] = {}
    for owner, requirement in _applying(packages, packages.installed):
        if isinstance(requirement, Requirement):
            owners.setdefault(canonicalize_name(requirement.name), set()).add(owner)
    return {name: frozenset(names) for name, names in owners.items()}


def pinned(name: str, owners: Sequence[str], packages: Packages) -> str | None:
    """The version of ``name`` that the first of these owners which requires it pins; None for any version."""
    for owner in owners:
        for requirement in _of(owner, "", packages):
            if isinstance(requirement, Requirement) and canonicalize_name(requirement.name) == name:
                return next(
                    (bound.version for bound in requirement.specifier if bound.operator == "=="), None
                )
    return None


# -- walking ----------------------------------------------------------------------------------------


def _applying(packages: Packages, start: Iterable[str]) -> Iterator[tuple[str, Requirement | str]]:
    """Each requirement that applies from here on, with its owner; as text where it cannot be understood."""
    pending = [(name, "") for name in start]
    visited: set[tuple[str, str]] = set()
    looks = 0
    while pending:
        owner, extra = here = pending.pop()
        if here in visited or owner not in packages.installed:
            continue
        visited.add(here)
        looks += len(packages.requires.get(owner, ()))
        if looks > MAX_LOOKS:
            raise TooManyError(f"more than {MAX_LOOKS} requirements")
        for requirement in _of(owner, extra, packages):
            yield owner, requirement
            if isinstance(requirement, Requirement):
                name = canonicalize_name(requirement.name)
                pending += [(name, each) for each in ("", *requirement.extras)]


def _of(owner: str, extra: str, packages: Packages) -> Iterator[Requirement | str]:
    """What a package requires there with this extra; nothing where it is not installed."""
    for text in packages.requires.get(owner, ()):
        try:
            requirement = _read(text)
            applies = requirement.marker is None or requirement.marker.evaluate(
                {**packages.markers, "extra": extra}
            )
        except _NOT_UNDERSTOOD:
            yield text
        else:
            if applies:
                yield requirement


def _judged(owner: str, requirement: Requirement | str, packages: Packages) -> Broken | None:
    if isinstance(requirement, str):
        return Broken(owner, requirement[:MAX_LENGTH], "", "", Fault.UNREADABLE)
    name = canonicalize_name(requirement.name)
    installed = packages.installed.get(name)
    if installed is None:
        return Broken(owner, str(requirement), name, "", Fault.MISSING)
    try:
        fits = not requirement.specifier or requirement.specifier.contains(installed, prereleases=True)
        if not fits:
            Version(installed)  # raises where the installed version is none
    except _NOT_UNDERSTOOD:
        return Broken(owner, str(requirement), name, installed, Fault.UNREADABLE)
    return None if fits else Broken(owner, str(requirement), name, installed, Fault.OTHER_VERSION)


_NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, RecursionError)
"""What `packaging` raises for untrusted text: malformed names, specifiers and markers,
markers of names that there are none of, numbers of thousands of digits, brackets in brackets without end."""


def _read(text: str) -> Requirement:
    """A requirement. Raises one of those above."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a requirement of {len(text)} characters")
    return _kept(text) if len(text) <= _MAX_CACHED else Requirement(text)


_MAX_CACHED = 300
"""Characters of the requirements that are kept once they are read: long ones would fill the memory."""


@lru_cache(maxsize=1 << 13)
def _kept(text: str) -> Requirement:
    return Requirement(text)
