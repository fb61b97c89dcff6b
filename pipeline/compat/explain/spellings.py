"""How people write the values of a question: each reader raises ValueError with the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from pipeline.formats import axes
from pipeline.model.platforms import AMD64, ARM64, MACHINES

if TYPE_CHECKING:
    from pipeline.compat.facts import Facts

Reader = Callable[[str, "Facts"], Any]


@dataclass(frozen=True)
class Understood:
    """A value that stands for another, and in words what it was understood as."""

    value: str
    note: str


def _text(pattern: str, example: str) -> Reader:
    """Reads the part of a value that the pattern calls ``it``."""

    def read(value: str, _: Facts) -> str:
        match = re.fullmatch(pattern, value, re.IGNORECASE)
        if match is None:
            raise ValueError(f"write it like {example}")
        return match["it"].lower()

    return read


def _spelt(spellings: axes.Spellings, example: str) -> Reader:
    """Reads a value that people write in several ways."""

    def read(value: str, _: Facts) -> str:
        return _meant(value, spellings, example)

    return read


def _meant(value: str, spellings: axes.Spellings, example: str) -> str:
    for meaning in axes.meanings(value, spellings):
        return meaning
    raise ValueError(f"write it like {example}")


def release_of(value: str, _: Facts) -> str:
    """A release of a companion, with its build if that is named."""
    return _version(value.removeprefix("=").strip(), "transformers=4.57.6")


def _torch(value: str, facts: Facts) -> str:
    """All three numbers; where there are two, those that may be meant are named."""
    if re.fullmatch(r"v?[0-9]+\.[0-9]+", value):
        minor = value.removeprefix("v")
        releases = [row.version for row in facts.releases("torch", MACHINES[AMD64])]
        meant = [f"torch={release}" for release in releases if release.startswith(f"{minor}.")]
        raise ValueError(f"all three numbers: {' or '.join(meant) or 'torch=2.13.0'}")
    pattern = r"v?(?P<it>[0-9]+\.[0-9]+\.[0-9]+(?:\.?[a-z]+[0-9]+)*)(?:\+.*)?"
    return _version(str(_text(pattern, "torch=2.13.0, all three numbers")(value, facts)), "torch=2.13.0")


def _vllm(value: str, facts: Facts) -> str:
    """A release, without the build that may be named with it; or ``none``."""
    pattern = r"v?(?P<it>[0-9]+\.[0-9]+[0-9a-z.]*|none)(?:\+.*)?"
    named = str(_text(pattern, "vllm=0.32.0, or vllm=none")(value, facts))
    return named if named == "none" else _version(named, "vllm=0.32.0")


def _version(text: str, example: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion:
        raise ValueError(f"write a release, as in {example}") from None


def _gpus(value: str, facts: Facts) -> tuple[str, ...]:
    """Names as the facts have them, however they are written."""
    return tuple(_gpu(name, facts) for name in _several(value))


def _gpu(name: str, facts: Facts) -> str:
    if gpu := facts.gpu(re.sub(r"^[0-9]{1,2} ?[x*] ?", "", name)):  # how many there are changes nothing
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


def cuda_of(value: str, facts: Facts) -> str:
    """``cu121``, ``12.1`` or ``cpu``; what is another maker's is said to be so."""
    if re.fullmatch(r"(?:rocm|hip|xpu|oneapi|sycl|mps|metal|hpu|tpu|npu)[ -]?[0-9.]*", value, re.IGNORECASE):
        raise ValueError(f"{value} is no CUDA: {_NO_OTHERS}")
    if match := re.fullmatch(r"(?:cu|cuda)?[ -]?(1[0-9])(?:\.x)?", value, re.IGNORECASE):
        named = {cuda for row in facts.variants for cuda in row.variants if cuda[2:4] == match[1]}
        raise ValueError(
            f"with its minor, as in cuda=12.1: {' '.join(sorted(named)) or 'none of it is known'}"
        )
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


def _platform(value: str, facts: Facts) -> str:
    """``linux/amd64`` or ``linux/arm64``."""
    if re.search(r"win|mac|darwin|osx", value, re.IGNORECASE):
        raise ValueError(
            f"these facts are of Linux, and vLLM has wheels with CUDA for nothing else: "
            f"platform={AMD64} (also under WSL) or platform={ARM64}"
        )
    return str(_spelt(axes.PLATFORM, f"platform={AMD64} or platform={ARM64}")(value, facts))


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


READERS: dict[str, Reader] = {
    "torch": _torch,
    "cuda": cuda_of,
    "python": _python,
    "vllm": _vllm,
    "platform": _platform,
    "gpu": _gpus,
    "arch": _archs,
    "driver": _driver,
    "glibc": _glibc,
    "gcc": _text(r"(?P<it>[0-9]{1,2})(?:\..*)?", "gcc=12"),
    "compat": _compat,
}
