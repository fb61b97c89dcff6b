"""A question to ``explain``: a cell's id, or axes and conditions as ``key=value``, understood or refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from pipeline.compat.explain.spellings import READERS, Understood, cuda_of, release_of
from pipeline.formats import axes
from pipeline.model import Cell, Conditions
from pipeline.model.errors import UsageError
from pipeline.model.platforms import AMD64, ARM64, MACHINES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compat.facts import Facts

AXES = ("torch", "cuda", "python", "vllm", "platform")
CONDITIONS = {
    "gpu": "gpus", "arch": "archs", "driver": "driver", "glibc": "glibc", "gcc": "gcc", "compat": "compat"
}  # fmt: skip
"""The conditions that may be named, and what they are called in Conditions."""

COMPANIONS = {
    "transformers": "transformers", "tokenizers": "tokenizers", "torchvision": "torchvision",
    "torchaudio": "torchaudio", "torchcodec": "torchcodec", "triton": "triton", "xformers": "xformers",
    "flash-attn": "flash-attn", "flashinfer": "flashinfer-python", "numpy": "numpy",
}  # fmt: skip
"""The companions that may be named, and the packages that they are."""

_FOR_GPUS = frozenset({"flash-attn", "flashinfer-python", "xformers"})
"""The companions that nobody has without a GPU."""

_SPELT = {canonicalize_name(package): key for key, package in COMPANIONS.items()}
"""Other names of these keys: flash_attn, flashinfer-python."""

KEYS = (*AXES, *CONDITIONS, *COMPANIONS)

_SYNONYMS = {
    "pytorch": "torch", "py": "python", "os": "glibc", "distro": "glibc", "libc": "glibc", "card": "gpu",
    "device": "gpu", "sm": "arch", "cc": "arch", "capability": "arch", "machine": "platform",
}  # fmt: skip
"""What people call a key."""

NONE = "none"
"""The vLLM of an image with PyTorch only."""

_ID = re.compile(
    r"(?:vllm(?P<vllm>[0-9][0-9a-z.]*)-)?torch(?P<torch>[0-9][0-9a-z.]*)-(?P<cuda>cpu|cu[0-9]{3})"
    r"-py(?P<python>3\.[0-9]+)(?:-(?P<arch>arm64))?"
)


@dataclass(frozen=True)
class Question:
    """What is asked: the axes that are given, and under which conditions. ``vllm`` may be ``none``.

    ``notes`` say how a value was understood that stands for another ("driver=12.4"). ``of_own_cpu_build`` is
    that it is about vLLM's own build for CPUs (``vllm=0.30.0+cpu``), and not about the community's.
    """

    torch: str | None = None
    cuda: str | None = None
    python: str | None = None
    vllm: str | None = None
    platform: str = AMD64
    conditions: Conditions = field(default_factory=Conditions)
    notes: tuple[str, ...] = ()
    of_own_cpu_build: bool = False

    @cached_property
    def is_of_gpus(self) -> bool:
        """Whether it is about a GPU, so that builds for a CPU are no answer."""
        conditions = self.conditions
        named = {name for name, _ in conditions.pins} & _FOR_GPUS
        return self.cuda != "cpu" and any(
            (conditions.gpus, conditions.archs, conditions.driver, conditions.compat, named)
        )

    @property
    def is_of_one_build(self) -> bool:
        """Whether PyTorch and CUDA are both given."""
        return self.torch is not None and self.cuda is not None

    def admits(self, cell: Cell) -> bool:
        """Whether this cell has what the question names."""
        if self.is_of_gpus and not cell.needs_gpu:
            return False
        return self.platform == cell.platform and not self.against(cell)

    def against(self, cell: Cell) -> tuple[str, ...]:
        """The axes, of those that are named, in which this cell is another than the one that is asked for."""
        return tuple(axis for axis, value in self.asked.items() if value != getattr(cell, axis))

    @cached_property
    def asked(self) -> dict[str, str | None]:
        """The axes that are named, the platform apart; a vLLM of None is that there is to be none."""
        axes_given = {"torch": self.torch, "cuda": self.cuda, "python": self.python, "vllm": self.vllm}
        return {
            axis: None if value == NONE else value for axis, value in axes_given.items() if value is not None
        }


def of_cell(cell: Cell, conditions: Conditions) -> Question:
    """The question whether this very cell can exist."""
    return Question(cell.torch, cell.cuda, cell.python, cell.vllm or NONE, cell.platform, conditions)


def cell_of(text: str) -> Cell | None:
    """The cell of an id such as ``vllm0.32.0-torch2.13.0-cpu-py3.11``; None where it is none."""
    match = _ID.fullmatch(text)
    if match is None:
        return None
    platform = ARM64 if match["arch"] else AMD64
    return Cell(match["torch"], match["cuda"], match["python"], match["vllm"], platform)


def parse(words: Sequence[str], facts: Facts) -> Question:
    """The question that these ``key=value`` words ask; gpu and arch may name several, with commas between.

    Raises UsageError for an unknown key or value, with what was probably meant.
    """
    readers = READERS | dict.fromkeys(COMPANIONS, release_of)
    values: dict[str, Any] = {}
    notes: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        key = _SPELT.get(canonicalize_name(key), key)
        if not equals or not value:
            raise UsageError(f"{word!r} is neither a cell nor key=value", hint=f"the keys: {', '.join(KEYS)}")
        if key not in readers:
            meant = _SYNONYMS.get(key.lower()) or next(iter(get_close_matches(key.lower(), KEYS, n=1)), "")
            hint = f"did you mean {meant}=?" if meant else f"the keys: {', '.join(KEYS)}"
            raise UsageError(f"unknown key {key!r} in {word!r}", hint=hint)
        try:
            read = readers[key](value.strip(), facts)
        except ValueError as error:
            raise UsageError(f"{word} is not understood", hint=str(error)) from error
        if isinstance(read, Understood):
            notes.append(f"{word} is understood as {read.note}")
            read = read.value
        values[key] = (*values.get(key, ()), *read) if isinstance(read, tuple) else read
    conditions = {CONDITIONS[key]: value for key, value in values.items() if key in CONDITIONS}
    pins = tuple((COMPANIONS[key], value) for key, value in values.items() if key in COMPANIONS)
    builds = _builds(words)
    if builds:
        values.setdefault("cuda", cuda_of(builds.get("torch") or builds["vllm"], facts))
    cell = {key: value for key, value in values.items() if key in AXES}
    own = builds.get("vllm", "")
    if own.startswith("cu") and own != default_vllm_build(cell, facts):
        pins = (*pins, ("vllm", f"{cell['vllm']}+{own}"))
    machines = {gpu.machine for name in values.get("gpu", ()) if (gpu := facts.gpu(name))}
    if machines == {MACHINES[ARM64]}:  # such a GPU is built into its machine, as Grace's and Jetson's are
        cell.setdefault("platform", ARM64)
    of_own = own == "cpu" and cell["cuda"] == "cpu"
    return Question(
        **cell, conditions=Conditions(**conditions, pins=pins), notes=tuple(notes), of_own_cpu_build=of_own
    )


def _builds(words: Sequence[str]) -> dict[str, str]:
    """The builds that torch and vllm are asked for by (``cu129`` of ``vllm=0.22.0+cu129``).

    Raises UsageError where PyTorch's is another than the CUDA that is named.
    """
    pairs = dict(word.split("=", 1) for word in words)
    local = {key: pairs[key].partition("+")[2] for key in ("torch", "vllm") if "+" in pairs.get(key, "")}
    builds = {key: build.strip().lower() for key, build in local.items()}
    cuda, torch = pairs.get("cuda"), builds.get("torch")
    if cuda and torch and torch not in axes.meanings(cuda.strip(), axes.CUDA):
        raise UsageError(f"torch={pairs['torch']} and cuda={cuda} contradict", hint="name one of the two")
    return builds


def default_vllm_build(cell: dict[str, Any], facts: Facts) -> str:
    """The variant that the default index serves of this vLLM; empty where it was not read."""
    row = facts.artefact("vllm", cell.get("vllm") or "", MACHINES[cell.get("platform") or AMD64])
    return row.variant if row else ""
