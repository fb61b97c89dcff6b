"""The rows of the facts: what an artefact says of itself, and what people say of drivers, GPUs and builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.formats.cuda import variant_of

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
class Branch:
    """The CUDA that nvidia-smi shows with drivers of a branch (``565``) that no toolkit came with."""

    cuda: str
    branch: str
    confidence: Confidence
    source: Source


@dataclass(frozen=True)
class ToolkitArchs:
    """The oldest architecture that the toolkits of a CUDA major compile for."""

    cuda: str
    oldest: str
    confidence: Confidence
    source: Source


@dataclass(frozen=True)
class Gpu:
    """A GPU by the name people know it by, and the machine that it is built into, where that is one only.

    ``also`` are other names of it. Forward compatibility is for data-centre GPUs only. Those that are
    ``listed`` have a row of their own in a table of all GPUs; the others are of an architecture that has one.
    """

    name: str
    sm: str
    architecture: str
    data_center: bool
    confidence: Confidence
    source: Source
    machine: Literal["x86_64", "aarch64"] | None = None
    also: tuple[str, ...] = ()
    listed: bool = True


@dataclass(frozen=True)
class System:
    """A distribution by the name people know it by, and the glibc that it has."""

    name: str
    glibc: str
    confidence: Confidence
    source: Source
    also: tuple[str, ...] = ()


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
class Jetson:
    """An architecture whose PyTorch comes with a JetPack, and the index that has it ("" where none does)."""

    sm: str
    jetpack: str
    index: str
    confidence: Confidence
    source: Source


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
    """A build of these releases of vLLM beside the default index's: for another CUDA, or for a CPU.

    It is on an index of vLLM's own, or is a ``file`` (an address with ``{release}`` in it). ``archs`` and
    ``glibc`` are what the sources say of it, None where they say nothing.
    """

    vllm: str
    build: str
    machine: str
    confidence: Confidence
    source: Source
    archs: tuple[str, ...] | None = None
    glibc: str | None = None
    file: str = ""


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
    """A combination that goes wrong although nothing forbids it: where every range named here holds.

    Of one with ``archs`` only where one of these is asked for.
    """

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
    archs: tuple[str, ...] = ()
