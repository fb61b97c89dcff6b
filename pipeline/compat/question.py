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
        if self.is_of_gpus and not cell.needs_gpu:
            return False
        return self.platform == cell.platform and not self.against(cell)

    def against(self, cell: Cell) -> tuple[str, ...]:
        """The axes, of those that are named, in which this cell is another than the one that is asked for."""
        return tuple(axis for axis, value in self.asked.items() if value != getattr(cell, axis))

    @property
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
    values: dict[str, Any] = {}
    notes: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        key = _SPELT.get(canonicalize_name(key), key)
        if not equals or not value:
            raise UsageError(f"{word!r} is neither a cell nor key=value", hint=f"the keys: {', '.join(KEYS)}")
        if key not in _READERS:
            meant = _SYNONYMS.get(key.lower()) or next(iter(get_close_matches(key.lower(), KEYS, n=1)), "")
            hint = f"did you mean {meant}=?" if meant else f"the keys: {', '.join(KEYS)}"
            raise UsageError(f"unknown key {key!r} in {word!r}", hint=hint)
        try:
            read = _READERS[key](value.strip(), facts)
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
        values.setdefault("cuda", _cuda(builds.get("torch") or builds["vllm"], facts))
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


# -- values: each reader raises ValueError with the remedy ------------------------------------------

_Reader = Callable[[str, "Facts"], Any]


@dataclass(frozen=True)
class Understood:
    """A value that stands for another, and in words what it was understood as."""

    value: str
    note: str


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


def _torch(value: str, facts: Facts) -> str:
    """All three numbers; where there are two, those that may be meant are named."""
    if re.fullmatch(r"v?[0-9]+\.[0-9]+", value):
        minor = value.removeprefix("v")
        releases = [row.version for row in facts.releases("torch", MACHINES[AMD64])]
        meant = [f"torch={release}" for release in releases if release.startswith(f"{minor}.")]
        raise ValueError(f"all three numbers: {' or '.join(meant) or 'torch=2.13.0'}")
    pattern = r"v?(?P<it>[0-9]+\.[0-9]+\.[0-9]+(?:\.?[a-z]+[0-9]+)*)(?:\+.*)?"
    return str(_text(pattern, "torch=2.13.0, all three numbers")(value, facts))


def _gpus(value: str, facts: Facts) -> tuple[str, ...]:
    """Names as the facts have them, however they are written."""
    return tuple(_gpu(name, facts) for name in _several(value))


def _gpu(name: str, facts: Facts) -> str:
    if gpu := facts.gpu(name):
        return gpu.name
    if _OTHER_MAKERS.search(name):
        raise ValueError(f"{name} is no GPU of NVIDIA's: {_NO_OTHERS}")
    names = {gpu.name.lower(): gpu.name for gpu in facts.gpus}
    near = get_close_matches(name.lower(), names, n=3, cutoff=0.4)
    meant = f"did you mean {' or '.join(names[name] for name in near)}? " if near else ""
    raise ValueError(f"{meant}no GPU {name} is known; ask by its architecture: arch=sm_90")


_OTHER_MAKERS = re.compile(
    r"\b(?:mi[0-9]{2,3}\w*|instinct|radeon|rx ?[0-9]{4}\w*|gfx\w+|amd|intel|arc|gaudi|xpu|tpu|ascend)\b",
    re.IGNORECASE,
)
_NO_OTHERS = (
    "these facts are of CUDA and of CPUs. vLLM's builds for ROCm and XPU are others, "
    "on indexes of their own: https://docs.vllm.ai/en/latest/getting_started/installation/gpu/"
)


def _cuda(value: str, facts: Facts) -> str:
    """``cu121``, ``12.1`` or ``cpu``; what is another maker's is said to be so."""
    if re.fullmatch(r"(?:rocm|hip|xpu|oneapi|sycl|mps|metal|hpu|tpu|npu)[ -]?[0-9.]*", value, re.IGNORECASE):
        raise ValueError(f"{value} is no CUDA: {_NO_OTHERS}")
    return str(_spelt(axes.CUDA, "cuda=cu121, cuda=12.1 or cuda=cpu")(value, facts))


def _python(value: str, facts: Facts) -> str:
    """``3.11``; of a free-threaded one it is said that vLLM's wheels are not for it."""
    if match := re.fullmatch(
        r"(?:py|python|cp)?(3\.?[0-9]{1,2})(?:t|-nogil|-freethreaded)", value, re.IGNORECASE
    ):
        raise ValueError(
            f"no wheel of vLLM is for a free-threaded Python: they are for the stable ABI, which that one "
            f"does not have (PEP 703). Ask for python={match[1]}"
        )
    return str(_spelt(axes.PYTHON, "python=3.11")(value, facts))


def _driver(value: str, facts: Facts) -> str | Understood:
    """A driver (``550.54.14``), its branch, or the CUDA that nvidia-smi shows with it (``12.4``)."""
    if match := re.fullmatch(r"(?:cuda ?)?([0-9]{2}\.[0-9])", value, re.IGNORECASE):
        cuda, branch = match[1], facts.branch_showing(match[1])
        if branch is None:
            known = " ".join(sorted({row.cuda for row in facts.toolkit_drivers if row.cuda.count(".") == 1}))
            raise ValueError(f"no driver is known that shows CUDA {cuda}, but those of {known}")
        note = f"the CUDA Version of nvidia-smi, the newest that the driver serves: one of branch R{branch}"
        return Understood(branch, note)
    return str(_text(r"r?(?P<it>[0-9]{3}(?:\.[0-9]{1,4}){0,2})", _DRIVER)(value, facts))


_DRIVER = "driver=550.54.14, as nvidia-smi shows it, or driver=12.4 for its CUDA Version"


def _glibc(value: str, facts: Facts) -> str | Understood:
    """``2.36``, or the name of a distribution."""
    if re.search(r"musl|alpine", value, re.IGNORECASE):
        raise ValueError("Alpine has musl and no glibc: no wheel with CUDA, and none of vLLM, is for it")
    if system := facts.system(value):
        return Understood(system.glibc, f"glibc {system.glibc}, that of {system.name}")
    return str(
        _text(r"(?P<it>2\.[0-9]{1,2})", "glibc=2.36, as ldd --version shows it, or glibc=ubuntu22.04")(
            value, facts
        )
    )


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
    "torch": _torch,
    "cuda": _cuda,
    "python": _python,
    "vllm": _text(r"v?(?P<it>[0-9]+\.[0-9]+[0-9a-z.]*|none)(?:\+.*)?", "vllm=0.32.0, or vllm=none"),
    "platform": _spelt(axes.PLATFORM, f"platform={AMD64} or platform={ARM64}"),
    "gpu": _gpus,
    "arch": _archs,
    "driver": _driver,
    "glibc": _glibc,
    "gcc": _text(r"(?P<it>[0-9]{1,2})(?:\..*)?", "gcc=12"),
    "compat": _compat,
    **dict.fromkeys(COMPANIONS, _release),
}
