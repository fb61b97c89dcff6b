"""What is known, as rows: artefacts that a program read, and an overlay that people keep.

``facts.json`` is written by ``nox -s refresh`` only: one row for each artefact that was read, with the
file's hash. ``overlay.json`` is kept by hand: drivers, GPUs, builds on PyTorch's own index, known-bad
pairs, each row with its source. What was read from an artefact wins over what the overlay says, and a
known-bad row can only make a verdict worse.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from pipeline.compat.rows import (
    Artefact,
    Branch,
    Floor,
    Gpu,
    Jetson,
    KnownBad,
    KnownBy,
    Pair,
    System,
    ToolkitArchs,
    VariantArchs,
    Variants,
    VllmBuild,
)
from pipeline.formats.gpu_arch import in_order
from pipeline.model import shown
from pipeline.model.errors import FactsError
from pipeline.model.platforms import MACHINES

if TYPE_CHECKING:
    from pipeline.compat.rows import Source
    from pipeline.model import Conditions

FACTS = Path(__file__).with_name("facts.json")
OVERLAY = Path(__file__).with_name("overlay.json")


@dataclass(frozen=True, eq=False)
class Facts:
    """All rows, and the day on which the artefacts were read. Compared by identity: look-ups are cached."""

    read: str
    artefacts: tuple[Artefact, ...]
    driver_floors: tuple[Floor, ...] = ()
    toolkit_drivers: tuple[Floor, ...] = ()
    driver_branches: tuple[Branch, ...] = ()
    toolkit_archs: tuple[ToolkitArchs, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    known_by: tuple[KnownBy, ...] = ()
    systems: tuple[System, ...] = ()
    jetsons: tuple[Jetson, ...] = ()
    variants: tuple[Variants, ...] = ()
    variant_archs: tuple[VariantArchs, ...] = ()
    vllm_builds: tuple[VllmBuild, ...] = ()
    pairs: tuple[Pair, ...] = ()
    known_bad: tuple[KnownBad, ...] = ()

    def artefact(self, package: str, version: str, machine: str) -> Artefact | None:
        """The row of this release for this machine, or None."""
        return self._by_release.get((package, version, machine))

    def releases(self, package: str, machine: str) -> tuple[Artefact, ...]:
        """The rows of a package that are not yanked, oldest first."""
        return self._by_package.get((package, machine), ())

    def knows(self, package: str, version: str) -> bool:
        """Whether a wheel of this release was read, for whatever machine."""
        return any((package, version, machine) in self._by_release for machine in MACHINES.values())

    def variants_of(self, torch: str) -> Variants | None:
        """The builds of this release on PyTorch's own index, or None where they are not known."""
        return next((row for row in self.variants if row.torch == minor(torch)), None)

    def archs_of(self, torch: str, cuda: str, machine: str) -> tuple[tuple[str, ...] | None, Source]:
        """The architectures of this build of PyTorch, None where they are unknown, and where that is from."""
        own = self.artefact("torch", torch, machine)
        if own and own.variant == cuda:
            return own.archs, own.source("archs")
        return self._variant_archs.get((minor(torch), cuda, machine), (None, ()))

    def cudas_on(self, torch: str, machine: str) -> tuple[str, ...]:
        """The builds of this release whose architectures are known for this machine, the default's apart."""
        rows = (row for row in self.variant_archs if (row.torch, row.machine) == (minor(torch), machine))
        return tuple(row.cuda for row in rows)

    def archs_asked(self, conditions: Conditions) -> tuple[str, ...]:
        """The architectures asked for, by name or through GPUs, each once, from the oldest to the newest."""
        of_gpus = (gpu.sm for name in conditions.gpus if (gpu := self.gpu(name)))
        return in_order((*conditions.archs, *of_gpus))

    def floor(self, cuda: str) -> Floor | None:
        """The driver floor of minor-version compatibility for a CUDA version such as ``12.1``."""
        return next((row for row in self.driver_floors if row.cuda == cuda.partition(".")[0]), None)

    def oldest_arch(self, cuda: str) -> ToolkitArchs | None:
        """The oldest architecture that the compiler of this CUDA knows."""
        return next((row for row in self.toolkit_archs if row.cuda == cuda.partition(".")[0]), None)

    def toolkit(self, cuda: str) -> Floor | None:
        """The driver that came with this toolkit, which PTX made by it needs."""
        return next((row for row in self.toolkit_drivers if row.cuda == cuda), None)

    def compiler(self, cuda: str) -> Artefact | None:
        """The row that says which gcc the nvcc of this toolkit takes."""
        return next((row for row in self.artefacts if row.max_gcc and row.cuda == cuda), None)

    def gpu(self, name: str) -> Gpu | None:
        """The GPU of this name, however it is written ("rtx-5090"), or by some of its words ("5090").

        Of several whose names begin alike the one without an addition is meant. What nvidia-smi adds to a
        name ("NVIDIA A100-SXM4-80GB") is left out.
        """
        words = _words(name)
        while words:
            plain = "".join(words)
            if found := self._by_gpu.get(plain) or self._by_part.get(plain):
                return found
            if not _FORM.fullmatch(words[-1]):
                return None
            words = words[:-1]
        return None

    def jetson(self, sm: str) -> Jetson | None:
        """The row of an architecture that only a JetPack's own builds serve."""
        return next((row for row in self.jetsons if row.sm == sm), None)

    def branch_showing(self, cuda: str) -> str | None:
        """The branch of the drivers that show this CUDA in nvidia-smi (``550`` for ``12.4``)."""
        own = next((row.branch for row in self.driver_branches if row.cuda == cuda), None)
        toolkit = self.toolkit(cuda)
        return own or (toolkit.driver.partition(".")[0] if toolkit else None)

    @cached_property
    def listed_gpus(self) -> tuple[Gpu, ...]:
        """The GPUs of a table of all of them."""
        return tuple(gpu for gpu in self.gpus if gpu.listed)

    def system(self, name: str) -> System | None:
        """The distribution of this name, however it is written ("ubuntu-22.04"); None where it is unknown."""
        return self._by_system.get(_system_name(name))

    def drivers_of(self, name: str) -> KnownBy | None:
        """The row on the drivers of this GPU, or of this architecture."""
        return self._known_by.get(name)

    @cached_property
    def _by_release(self) -> dict[tuple[str, str, str], Artefact]:
        return {(row.package, row.version, row.machine): row for row in self.artefacts}

    @cached_property
    def _by_package(self) -> dict[tuple[str, str], tuple[Artefact, ...]]:
        rows: dict[tuple[str, str], list[Artefact]] = {}
        for row in sorted(self.artefacts, key=lambda row: version(row.version)):
            if not row.yanked:
                rows.setdefault((row.package, row.machine), []).append(row)
        return {key: tuple(group) for key, group in rows.items()}

    @cached_property
    def _variant_archs(self) -> dict[tuple[str, str, str], tuple[tuple[str, ...], Source]]:
        return {(row.torch, row.cuda, row.machine): (row.archs, row.source) for row in self.variant_archs}

    @cached_property
    def _known_by(self) -> dict[str, KnownBy]:
        return {row.of: row for row in self.known_by}

    @cached_property
    def _by_gpu(self) -> dict[str, Gpu]:
        return {plain_name(name): row for row in self.gpus for name in (row.name, *row.also)}

    @cached_property
    def _by_part(self) -> dict[str, Gpu]:
        """The GPU that some words of its name stand for, where they stand for no other kind."""
        holding: dict[str, dict[str, Gpu]] = {}
        for plain, row in self._by_gpu.items():
            for name in (row.name, *row.also):
                words = _words(name)
                for start, end in combinations(range(len(words) + 1), 2):
                    holding.setdefault("".join(words[start:end]), {})[plain] = row
        shortest = {part: min(rows, key=len) for part, rows in holding.items()}
        return {
            part: rows[shortest[part]]
            for part, rows in holding.items()
            if all(
                plain.startswith(shortest[part]) or row is rows[shortest[part]] for plain, row in rows.items()
            )
        }

    @cached_property
    def _by_system(self) -> dict[str, System]:
        return {_system_name(name): row for row in self.systems for name in (row.name, *row.also)}


@cache
def shipped() -> Facts:
    """The facts that came with this package."""
    return load(FACTS, OVERLAY)


def load(facts: Path, overlay: Path) -> Facts:
    """Facts and overlay of these files, whose rows our own program and our own tests have checked.

    Raises FactsError where they are no such files.
    """
    try:
        return _facts(json.loads(facts.read_text("utf-8")), json.loads(overlay.read_text("utf-8")))
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise FactsError(
            f"{facts} and {overlay.name} are not what refresh and this package write: {shown(error)}",
            hint="take them back from the repository, or make them anew with `nox -s refresh`",
        ) from error


def _facts(read: Any, kept: Any) -> Facts:
    tables = {
        "driver_floors": Floor,
        "toolkit_drivers": Floor,
        "driver_branches": Branch,
        "toolkit_archs": ToolkitArchs,
        "gpus": Gpu,
        "known_by": KnownBy,
        "systems": System,
        "jetsons": Jetson,
        "variants": Variants,
        "variant_archs": VariantArchs,
        "vllm_builds": VllmBuild,
        "pairs": Pair,
        "known_bad": KnownBad,
    }
    rows: Any = {name: tuple(row_of(kind)(row) for row in kept[name]) for name, kind in tables.items()}
    return Facts(read["read"], tuple(map(row_of(Artefact), read["artefacts"])), **rows)


def row_of(kind: Any) -> Any:
    """Makes a row of this type from its JSON object: lists become tuples."""
    return lambda row: kind(**{name: _frozen(value) for name, value in row.items()})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@cache
def version(text: str) -> Version:
    """A version that can be compared."""
    return Version(text)


def minor(text: str) -> str:
    """``2.13`` for ``2.13.0``."""
    return ".".join(text.split(".")[:2])


def plain_name(gpu: str) -> str:
    """A GPU's name as it is looked up: lower case, without blanks and the words that people leave out."""
    return "".join(_words(gpu))


def _words(gpu: str) -> list[str]:
    words = re.split(r"[\s()_/-]+", gpu.lower())
    return [
        word for word in words if word and word not in {"nvidia", "geforce", "tesla", "dgx", "hgx", "nvgpu"}
    ]


_FORM = re.compile(
    r"sxm[0-9]?|pcie?|nvl[0-9]*|hbm[0-9]\w?|[0-9]{1,3}gb?|laptop|mobile|gpu|super|edition|workstation|q|max"
)
"""What is said of a GPU's form or memory beside its name."""


def _system_name(name: str) -> str:
    """A distribution's name as it is looked up: ``ubuntu22.04``."""
    return re.sub(r"[\s:_-]+|linux|gnu", "", name.lower())
