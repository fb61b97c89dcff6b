"""A question to ``explain``: a cell's id, or axes and conditions as ``key=value``, understood or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

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

NONE = "none"
"""The vLLM of an image with PyTorch only."""

_ID = re.compile(
    r"(?:vllm(?P<vllm>[0-9][0-9a-z.]*)-)?torch(?P<torch>[0-9][0-9a-z.]*)-(?P<cuda>cpu|cu[0-9]{3})"
    r"-py(?P<python>3\.[0-9]+)(?:-(?P<arch>arm64))?"
)


@dataclass(frozen=True)
class Question:
    """What is asked: the axes that are given, and under which conditions. ``vllm`` may be ``none``."""

    torch: str | None = None
    cuda: str | None = None
    python: str | None = None
    vllm: str | None = None
    platform: str = AMD64
    conditions: Conditions = field(default_factory=Conditions)

    @property
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
        axes_given = {
            "torch": self.torch,
            "cuda": self.cuda,
            "python": self.python,
            "platform": self.platform,
        }
        if any(value not in (None, getattr(cell, axis)) for axis, value in axes_given.items()):
            return False
        if self.is_of_gpus and not cell.needs_gpu:
            return False
        return self.vllm is None or self.vllm == (cell.vllm or NONE)


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
    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = _SPELT.get(canonicalize_name(key), key)
        if not equals or not value:
            raise UsageError(f"{word!r} is neither a cell nor key=value", hint=f"the keys: {', '.join(KEYS)}")
        if key not in _READERS:
            near = get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]}=?" if near else f"the keys: {', '.join(KEYS)}"
            raise UsageError(f"unknown key {key!r} in {word!r}", hint=hint)
        try:
            read = _READERS[key](value.strip(), facts)
        except ValueError as error:
            raise UsageError(f"{word} is not understood", hint=str(error)) from error
        values[key] = (*values.get(key, ()), *read) if isinstance(read, tuple) else read
    conditions = {CONDITIONS[key]: value for key, value in values.items() if key in CONDITIONS}
    conditions["pins"] = tuple((COMPANIONS[key], value) for key, value in values.items() if key in COMPANIONS)
    cell = {key: value for key, value in values.items() if key in AXES}
    machines = {gpu.machine for name in values.get("gpu", ()) if (gpu := facts.gpu(name))}
    if machines == {MACHINES[ARM64]}:  # such a GPU is built into its machine, as Grace's and Jetson's are
        cell.setdefault("platform", ARM64)
    return Question(**cell, conditions=Conditions(**conditions))


# -- values: each reader raises ValueError with the remedy ------------------------------------------

_Reader = Callable[[str, "Facts"], Any]


def _text(pattern: str, example: str) -> _Reader:
    """Reads the part of a value that the pattern calls ``it``."""

    def read(value: str, _: Facts) -> str:
        match = re.fullmatch(pattern, value, re.IGNORECASE)
        if match is None:
            raise ValueError(f"write it like {example}")
        return match["it"].lower()

    return read


def _spelt(spellings: axes.Spellings, example: str) -> _Reader:
    """Reads a value that people write in several ways."""

    def read(value: str, _: Facts) -> str:
        return _meant(value, spellings, example)

    return read


def _meant(value: str, spellings: axes.Spellings, example: str) -> str:
    for meaning in axes.meanings(value, spellings):
        return meaning
    raise ValueError(f"write it like {example}")


def _release(value: str, _: Facts) -> str:
    """A release of a companion, with its build if that is named."""
    try:
        return str(Version(value.removeprefix("=").strip()))
    except InvalidVersion:
        raise ValueError("write a release, as in transformers=4.57.6") from None


def _gpus(value: str, facts: Facts) -> tuple[str, ...]:
    """Names as the facts have them, however they are written."""
    return tuple(_gpu(name, facts) for name in _several(value))


def _gpu(name: str, facts: Facts) -> str:
    if gpu := facts.gpu(name):
        return gpu.name
    names = {gpu.name.lower(): gpu.name for gpu in facts.gpus}
    near = get_close_matches(name.lower(), names, n=3, cutoff=0.4)
    meant = f"did you mean {' or '.join(names[name] for name in near)}? " if near else ""
    raise ValueError(f"{meant}no GPU {name} is known; ask by its architecture: arch=sm_90")


def _archs(value: str, _: Facts) -> tuple[str, ...]:
    return tuple(_meant(arch, axes.ARCH, "arch=sm_90") for arch in _several(value))


def _compat(value: str, _: Facts) -> str:
    """``13.0``, ``13-0`` and ``cuda-compat-13-0``."""
    match = re.fullmatch(r"(?:cuda-compat-)?([0-9]{2})[-.]([0-9])", value, re.IGNORECASE)
    if match is None:
        raise ValueError("write it like compat=13.0, the CUDA of the cuda-compat package")
    return f"{match[1]}.{match[2]}"


def _several(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


_READERS: dict[str, _Reader] = {
    "torch": _text(
        r"v?(?P<it>[0-9]+\.[0-9]+\.[0-9]+(?:\.?[a-z]+[0-9]+)*)(?:\+.*)?", "torch=2.13.0, all three numbers"
    ),
    "cuda": _spelt(axes.CUDA, "cuda=cu121, cuda=12.1 or cuda=cpu"),
    "python": _spelt(axes.PYTHON, "python=3.11"),
    "vllm": _text(r"v?(?P<it>[0-9]+\.[0-9]+[0-9a-z.]*|none)(?:\+.*)?", "vllm=0.32.0, or vllm=none"),
    "platform": _spelt(axes.PLATFORM, f"platform={AMD64} or platform={ARM64}"),
    "gpu": _gpus,
    "arch": _archs,
    "driver": _text(r"r?(?P<it>[0-9]{3}(?:\.[0-9]{1,4}){0,2})", "driver=550.54.14, as nvidia-smi shows it"),
    "glibc": _text(r"(?P<it>2\.[0-9]{1,2})", "glibc=2.36, as ldd --version shows it"),
    "gcc": _text(r"(?P<it>[0-9]{1,2})(?:\..*)?", "gcc=12"),
    "compat": _compat,
    **dict.fromkeys(COMPANIONS, _release),
}
