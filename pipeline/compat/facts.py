"""What is known, as rows: artefacts that a program read, and an overlay that people keep.

``facts.json`` is written by ``nox -s refresh`` only: one row for each artefact that was read, with the
file's hash. ``overlay.json`` is kept by hand: drivers, GPUs, builds on PyTorch's own index, known-bad
pairs, each row with its source. What was read from an artefact wins over what the overlay says, and a
known-bad row can only make a verdict worse.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from packaging.version import Version

from pipeline.formats.cuda import variant_of
from pipeline.model import shown
from pipeline.model.errors import FactsError
from pipeline.model.platforms import MACHINES

FACTS = Path(__file__).with_name("facts.json")
OVERLAY = Path(__file__).with_name("overlay.json")

Source = tuple[str, ...]
"""Where a row is from: addresses of pages, or an artefact and the member in it that was read."""

Confidence = Literal["verified", "documented", "secondary", "unsure"]
"""Read from the artefact; said by its makers; quoted by a third party; contradicted or not confirmed."""


@dataclass(frozen=True)
class Artefact:
    """One wheel of the default index, as it was read. None is "not known", an empty tuple "known to be none".

    One wheel stands for a release on a machine (``x86_64`` or ``aarch64``): ``file`` is its name, ``size``
    its bytes. ``released`` is the day of the release's first file, None where the index does not tell.
    ``pythons`` are those that can install this release: what its wheels for this machine are tagged with,
    within Requires-Python, and for the stable ABI within those of the torch that it pins; none where a
    wheel holds nothing for Python. ``pythons_built`` are those that its own build names. ``cuda`` is the
    version that it was compiled for, ``13.0``, or ``12`` where only the major is known; None for a build
    without CUDA. ``archs`` are ``sm_90`` for machine code and ``compute_90`` for PTX. ``glibc`` is what
    the file name's tag asks for, ``glibc_seen`` the newest symbol version seen inside, a lower bound.
    ``needs`` are shared libraries that it links and does not bring, as far as they were seen. ``pins`` are
    METADATA's requirements on what decides whether things fit, markers included. ``read_from`` says for
    each fact which member it was read from. ``max_gcc`` is the newest gcc that a CUDA compiler accepts.
    ``damaged`` says why this wheel cannot be unpacked: the index's own file is broken, by its own hash.
    """

    package: str
    version: str
    machine: str
    file: str
    sha256: str
    size: int
    released: str | None
    yanked: bool
    pythons: tuple[str, ...]
    pythons_built: tuple[str, ...] | None
    cuda: str | None
    archs: tuple[str, ...] | None
    glibc: str
    glibc_seen: str | None
    needs: tuple[str, ...] | None
    pins: tuple[str, ...]
    read_from: tuple[tuple[str, str], ...]
    max_gcc: int | None = None
    damaged: str | None = None

    @property
    def variant(self) -> str:
        """``cu130`` or ``cpu``: what this build is called on PyTorch's own index."""
        return variant_of(self.cuda)

    def source(self, fact: str) -> Source:
        """Where this fact of it was read."""
        member = dict(self.read_from).get(fact)
        return (f"{self.file}: {member}" if member else self.file,)


@dataclass(frozen=True)
class Floor:
    """The oldest Linux driver for a CUDA major (minor-version compatibility), or for all of one toolkit."""

    cuda: str
    driver: str
    confidence: Confidence
    source: Source


@dataclass(frozen=True)
class Gpu:
    """A GPU by the name people know it by, and the machine that it is built into, where that is one only.

    Forward compatibility is for data-centre GPUs only.
    """

    name: str
    sm: str
    architecture: str
    data_center: bool
    confidence: Confidence
    source: Source
    machine: Literal["x86_64", "aarch64"] | None = None


@dataclass(frozen=True)
class KnownBy:
    """The Linux drivers that know a GPU or an architecture (``of`` is its name, ``sm_90``).

    ``first`` is the oldest, ``last`` the newest branch, None while there is no end; ``cuda`` is the toolkit
    that brought the architecture, where that is how the first driver is known.
    """

    of: str
    first: str
    confidence: Confidence
    source: Source
    last: str | None = None
    cuda: str = ""
    note: str = ""


@dataclass(frozen=True)
class Variants:
    """The builds of one PyTorch minor on PyTorch's own index; those ``unconfirmed`` may be there too."""

    torch: str
    variants: tuple[str, ...]
    confidence: Confidence
    source: Source
    note: str = ""
    unconfirmed: tuple[str, ...] = ()


@dataclass(frozen=True)
class VllmBuild:
    """A build of these releases of vLLM for another CUDA, on an index of vLLM's own."""

    vllm: str
    build: str
    confidence: Confidence
    source: Source


@dataclass(frozen=True)
class VariantArchs:
    """The architectures of one of those builds, where it is not the default index's too."""

    torch: str
    cuda: str
    machine: str
    archs: tuple[str, ...]
    confidence: Confidence
    source: Source


@dataclass(frozen=True)
class Pair:
    """The torchvision and torchaudio that were released for a PyTorch."""

    torch: str
    torchvision: str
    torchaudio: str
    confidence: Confidence
    source: Source


@dataclass(frozen=True)
class KnownBad:
    """A combination that goes wrong although nothing forbids it: where every range named here holds."""

    name: str
    level: Literal["warn", "impossible"]
    text: str
    hint: str
    source: Source
    torch: str | None = None
    vllm: str | None = None
    distribution: str | None = None
    python: str | None = None
    cuda: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Facts:
    """All rows, and the day on which the artefacts were read. Compared by identity: look-ups are cached."""

    read: str
    artefacts: tuple[Artefact, ...]
    driver_floors: tuple[Floor, ...] = ()
    toolkit_drivers: tuple[Floor, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    known_by: tuple[KnownBy, ...] = ()
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

    def floor(self, cuda: str) -> Floor | None:
        """The driver floor of minor-version compatibility for a CUDA version such as ``12.1``."""
        return next((row for row in self.driver_floors if row.cuda == cuda.partition(".")[0]), None)

    def toolkit(self, cuda: str) -> Floor | None:
        """The driver that came with this toolkit, which PTX made by it needs."""
        return next((row for row in self.toolkit_drivers if row.cuda == cuda), None)

    def compiler(self, cuda: str) -> Artefact | None:
        """The row that says which gcc the nvcc of this toolkit takes."""
        return next((row for row in self.artefacts if row.max_gcc and row.cuda == cuda), None)

    def gpu(self, name: str) -> Gpu | None:
        """The GPU of this name, however it is written ("rtx-5090"), or whose name alone holds it ("5090").

        Of several whose names begin alike the one without an addition is meant.
        """
        plain = plain_name(name)
        holding = sorted((name for name in self._by_gpu if plain and plain in name), key=len)
        is_one = all(name.startswith(holding[0]) for name in holding)
        return self._by_gpu.get(plain) or (self._by_gpu[holding[0]] if holding and is_one else None)

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
        return {plain_name(row.name): row for row in self.gpus}


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
        "gpus": Gpu,
        "known_by": KnownBy,
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
    words = gpu.lower().replace("(", " ").replace(")", " ").replace("-", " ").split()
    return "".join(word for word in words if word not in {"nvidia", "geforce", "tesla"})
