"""The matrix: its cells, and the settings of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from pipeline.model.advisories import Demand
from pipeline.model.platforms import AMD64, MACHINES
from pipeline.model.systems import SYSTEMS

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from pipeline.model.freezes import Freeze
    from pipeline.model.policies import Policy
    from pipeline.model.references import ImageRef, Repository
    from pipeline.model.rule_families import RuleName
    from pipeline.model.verdicts import Finding


Kind = Literal["vllm-cuda", "vllm-cpu", "torch-cuda", "torch-cpu"]
"""What cells are alike by: whether there is vLLM's server to ask, and whether a GPU runs it."""
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, order=True)
class Cell:
    """One combination of the axes; its id names it everywhere."""

    torch: str
    cuda: str
    python: str
    vllm: str | None
    platform: str = AMD64

    @cached_property
    def id(self) -> str:
        """``vllm0.32.0-torch2.13.0-cpu-py3.11``: nox id, lock name, channel tag, CI job, JUnit suite."""
        parts = [f"vllm{self.vllm}"] if self.vllm else []
        parts += [f"torch{self.torch}", self.cuda, f"py{self.python}"]
        return "-".join([*parts, *([] if self.platform == AMD64 else [self.platform.removeprefix("linux/")])])

    @property
    def machine(self) -> str:
        """The processor, by the name that wheels and kernels use: ``x86_64`` or ``aarch64``."""
        return MACHINES[self.platform]

    @property
    def needs_gpu(self) -> bool:
        """Whether only a GPU can prove it."""
        return self.cuda != "cpu"

    @property
    def kind(self) -> Kind:
        """What it has in common with others of which the same is asked."""
        if self.vllm:
            return "vllm-cuda" if self.needs_gpu else "vllm-cpu"
        return "torch-cuda" if self.needs_gpu else "torch-cpu"

    @property
    def cuda_version(self) -> str | None:
        """``13.0`` for ``cu130``; None for ``cpu``."""
        return f"{self.cuda[2:-1]}.{self.cuda[-1]}" if self.needs_gpu else None

    @property
    def words(self) -> dict[str, str]:
        """The words of a tag's template and their values, all of them valid in a tag."""
        system, _, architecture = self.platform.partition("/")
        return {
            "cell": self.id,
            "torch": self.torch,
            "cuda": self.cuda,
            "python": self.python,
            "vllm": self.vllm or "none",
            "platform": f"{system}-{architecture}",
            "arch": architecture,
        }


@dataclass(frozen=True)
class JustifiedRequirement:
    """A requirement or a package name, and the reason for it."""

    text: str
    reason: str


@dataclass(frozen=True)
class Trim:
    """Files of these packages that an image does without, and why.

    ``files`` are globs over paths in the folder of the packages; ``*`` matches ``/`` too.
    """

    packages: tuple[str, ...]
    files: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Base:
    """The operating system of every image: a distribution's suite, or an image of the user's."""

    suite: str
    refresh: str
    image: ImageRef | None = None
    image_glibc: str = "2.28"

    @property
    def glibc(self) -> str:
        """The newest glibc that wheels may require; for an image of the user's, the value in the matrix."""
        return self.image_glibc if self.image else SYSTEMS[self.suite].glibc

    @property
    def gcc(self) -> str | None:
        """The major of the compiler that it brings; None for an image of the user's, where it is unknown."""
        return None if self.image else SYSTEMS[self.suite].gcc


@dataclass(frozen=True)
class Budget:
    """How large an image may be, in bytes: as layers in a registry, installed, and its server in memory.

    It is in no key.
    """

    compressed: int | None = None
    installed: int | None = None
    resident: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Waiver:
    """An exception of the matrix: it waives findings of this rule on paths that match the glob, until a day.

    A finding without a path concerns the whole image: only ``*`` matches it.
    """

    rule: RuleName
    path: str
    reason: str
    expires: date


@dataclass(frozen=True)
class Cooldown:
    """How many days a wheel has to have been on its index before a lock takes it. It is in no key.

    ``exceptions`` are globs over names of packages that need not, each with its reason.
    """

    days: int
    exceptions: tuple[JustifiedRequirement, ...] = ()


@dataclass(frozen=True)
class Support:
    """The last day on which a cell gets a new tag, and why no later. It is in no key."""

    until: date
    reason: str


@dataclass(frozen=True)
class Spec:
    """A cell and all its settings: the only input of lock and build.

    ``gpu_memory`` is the share of a GPU's memory that a server takes. ``left_out`` are the checks that it is
    not tried with, each with the reason.
    """

    cell: Cell
    base: Base
    packages: tuple[str, ...] = ()
    constraints: tuple[JustifiedRequirement, ...] = ()
    overrides: tuple[JustifiedRequirement, ...] = ()
    omit: tuple[JustifiedRequirement, ...] = ()
    trim: tuple[Trim, ...] = ()
    system: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    serve: tuple[str, ...] = ()
    archs: tuple[str, ...] = ()
    gpu_memory: float = 0.9
    budget: Budget | None = None
    waivers: tuple[Waiver, ...] = ()
    support: Support | None = None
    cooldown: Cooldown | None = None
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Pruned:
    """A combination of the axes that becomes no cell, and why.

    Either the file excludes it, and ``excluded`` is the reason given there, or ``findings`` make it
    impossible. Its vllm is ``auto`` if no release was found for it.
    """

    cell: Cell
    findings: tuple[Finding, ...] = ()
    excluded: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it becomes no cell: one sentence each, without the remedies."""
        return (self.excluded,) if self.excluded else tuple(f"{f.rule}: {f.text}" for f in self.findings)


@dataclass(frozen=True)
class Matrix:
    """The content of matrix.yaml.

    ``tags`` are templates over a cell's words: each adds one channel to every cell. ``gpu_memory`` is that
    of a spec for what is no cell: an environment on this machine. ``tests`` is the folder of the user's own
    tests, if there is one; ``prompts`` are files with the answers of ``model``. ``attempts`` are how often a
    proof is tried in all, while the machine fails. ``signers`` are the files of the public keys that count;
    this machine's own counts where none is named. ``moves`` says whether a channel may leave an image for a
    newer one, and ``speed_ratio`` how many times slower that may be; without one, speed is not asked for.
    ``keep_days`` are those for which staging keeps what no tag names. ``freezes`` are when no tag is given,
    and ``demand`` which weaknesses refuse an image that is scanned.
    """

    path: Path
    specs: tuple[Spec, ...]
    repository: Repository
    staging: Repository
    aliases: tuple[tuple[str, str], ...]
    policy: Policy
    model: str | None = None
    tests: Path | None = None
    prompts: tuple[Path, ...] = ()
    healthy_seconds: float = 600
    attempts: int = 2
    gpu_memory: float = 0.9
    tags: tuple[str, ...] = ()
    pruned: tuple[Pruned, ...] = ()
    signers: tuple[Path, ...] = ()
    moves: Literal["forward", "never"] = "forward"
    speed_ratio: float | None = None
    keep_days: int = 90
    demand: Demand = field(default_factory=Demand)
    freezes: tuple[Freeze, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells, in the order of the file."""
        return tuple(spec.cell for spec in self.specs)

    def aliases_of(self, cell: Cell) -> tuple[str, ...]:
        """The aliases that point to this cell."""
        return tuple(alias for alias, target in self.aliases if target == cell.id)

    def channels_of(self, cell: Cell) -> tuple[str, ...]:
        """The tags that move to a cell's newest proven image: its id, its templates' and its aliases."""
        words = cell.words
        made = (template.format_map(words) for template in self.tags)
        return tuple(dict.fromkeys((cell.id, *made, *self.aliases_of(cell))))
