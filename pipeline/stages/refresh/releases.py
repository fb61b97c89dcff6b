"""From a project's files to its releases: which wheel stands for each, and what the page alone says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.utils import (
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from pipeline.formats import wheels
from pipeline.model import shown
from pipeline.model.errors import FactsError
from pipeline.model.platforms import MACHINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.tags import Tag

    from pipeline.adapters.package_index import IndexFile

_CPYTHON = re.compile(r"cp3([0-9]{1,4})")


@dataclass(frozen=True)
class Project:
    """A project whose releases are read, from ``oldest`` on.

    Of a ``toolkit`` only each CUDA minor's newest is, and for one machine: what we want is the same for all.
    """

    name: str
    oldest: str = "0"
    toolkit: bool = False


@dataclass(frozen=True)
class Offer:
    """One release on one machine, as the index's page tells it. ``file`` is the wheel that stands for it.

    ``pythons`` are those that a wheel is made for by name, ``stable_abi`` the oldest of a wheel for that and
    all newer ones, ``requires`` is Requires-Python. ``sdist`` is the release's source archive.
    """

    project: str
    version: Version
    machine: str
    file: IndexFile
    glibc: str
    released: str | None
    yanked: bool
    pythons: tuple[str, ...]
    stable_abi: str | None
    requires: str
    sdist: IndexFile | None

    @property
    def key(self) -> tuple[str, str, str]:
        """What a row of the facts is known by."""
        return self.project, str(self.version), self.machine

    def pythons_within(self, ceiling: Sequence[str]) -> tuple[str, ...]:
        """The Pythons that can install it, where a wheel of the stable ABI is of use to these."""
        oldest = self.stable_abi
        stable = [python for python in ceiling if oldest and _minor(python) >= _minor(oldest)]
        allowed = SpecifierSet(self.requires)
        return tuple(sorted((python for python in {*self.pythons, *stable} if python in allowed), key=_minor))


@dataclass(frozen=True)
class _Wheel:
    file: IndexFile
    build: tuple[int | str, ...]
    tags: frozenset[Tag]

    def glibcs(self, machine: str) -> list[tuple[int, int]]:
        """The glibc of each of its tags for this machine."""
        return [glibc for tag in self.tags if (glibc := wheels.glibc_of(tag, machine))]

    @property
    def pythons(self) -> set[str]:
        """CPython as it is usually built, by minor: a free-threaded one is another ABI."""
        return {python_of(tag.interpreter) for tag in self.tags if tag.abi == tag.interpreter}

    @property
    def stable_abi(self) -> str | None:
        return next((python_of(tag.interpreter) for tag in self.tags if tag.abi == "abi3"), None)

    @property
    def rank(self) -> tuple[bool, int, int, str]:
        """Whether it comes before another one to stand for the release: the oldest Python, the last build."""
        named = sorted(_minor(python) for python in self.pythons)
        build = -int(self.build[0]) if self.build else 0
        free_threaded = not named and not self.stable_abi and any(tag.abi.endswith("t") for tag in self.tags)
        return (
            free_threaded,
            named[0] if named else 0,
            build,
            self.file.name,
        )


def newest(files: Iterable[IndexFile]) -> Version | None:
    """The newest release that is neither a preview nor yanked, whatever files it has."""
    versions = {version for file in files if not file.yanked and (version := version_of(file.name))}
    return max((version for version in versions if not version.is_prerelease), default=None)


def offers(project: Project, files: Sequence[IndexFile], known: Mapping[str, object]) -> tuple[Offer, ...]:
    """The releases of a project, oldest first. A wheel that is known goes on standing for its release."""
    releases: dict[Version, list[IndexFile]] = {}
    for file in files:
        version = version_of(file.name)
        if version and not version.is_prerelease and version >= Version(project.oldest):
            releases.setdefault(version, []).append(file)
    if project.toolkit:
        releases = _each_minor(releases, known)
    return tuple(
        offer
        for version in sorted(releases)
        for machine in tuple(MACHINES.values())[: 1 if project.toolkit else None]
        if (offer := _offer(project.name, version, machine, releases[version], known))
    )


def _each_minor(
    releases: dict[Version, list[IndexFile]], known: Mapping[str, object]
) -> dict[Version, list[IndexFile]]:
    """The newest of each minor, and those that are known."""
    last = {version.release[:2]: version for version in sorted(releases)}
    return {
        version: files
        for version, files in releases.items()
        if version == last[version.release[:2]] or any(file.sha256 in known for file in files)
    }


def _offer(
    project: str, version: Version, machine: str, files: Sequence[IndexFile], known: Mapping[str, object]
) -> Offer | None:
    wheels_here = [wheel for wheel in _wheels(files) if wheel.glibcs(machine)]
    if not wheels_here:
        return None
    chosen = min(wheels_here, key=lambda wheel: (wheel.file.sha256 not in known, wheel.rank))
    major, minor = min(chosen.glibcs(machine))
    stable = [oldest for wheel in wheels_here if (oldest := wheel.stable_abi)]
    named = {python for wheel in wheels_here for python in wheel.pythons}
    sdists = [file for file in files if file.name.endswith(".tar.gz")]
    _refuse_odd(chosen.file)
    return Offer(
        project=project,
        version=version,
        machine=machine,
        file=chosen.file,
        glibc=f"{major}.{minor}",
        released=min((file.uploaded for file in files if file.uploaded), default=None),
        yanked=chosen.file.yanked,
        pythons=tuple(sorted(named, key=_minor)),
        stable_abi=min(stable, key=_minor, default=None),
        requires=chosen.file.requires_python,
        sdist=sdists[0] if sdists else None,
    )


def _refuse_odd(file: IndexFile) -> None:
    try:
        SpecifierSet(file.requires_python).contains("3.12")  # which reads the versions in it, too
    except ValueError as error:
        raise FactsError(
            f"{file.shown}: its Requires-Python is not understood: {shown(error)}",
            hint="look at the project's page on the index; ask its makers to yank that release",
        ) from error


def _wheels(files: Iterable[IndexFile]) -> Iterator[_Wheel]:
    for file in files:
        if file.name.endswith(".whl"):
            _, _, build, tags = parse_wheel_filename(file.name)
            yield _Wheel(file, build, tags)


def version_of(name: str) -> Version | None:
    """The version in the name of a wheel or source archive; None for any other file and for odd names."""
    try:
        return parse_wheel_filename(name)[1] if name.endswith(".whl") else parse_sdist_filename(name)[1]
    except ValueError:  # also where a number has thousands of digits
        return None


def python_of(interpreter: str) -> str:
    """The Python of a tag's interpreter, ``3.11`` for ``cp311``; empty for others."""
    match = _CPYTHON.fullmatch(interpreter)
    return f"3.{match[1]}" if match else ""


def _minor(python: str) -> int:
    return int(python.partition(".")[2] or 0)
