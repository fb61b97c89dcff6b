"""Toolkit: with nvcc come the headers and the names for the linker that FlashInfer's kernels ask for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.compilers import (
    cuda_home,
    cuda_tool,
    has_deep_gemm,
    needs_nvcc,
    nvcc_release,
)
from pipeline.stages.audit.known_libraries import is_drivers
from pipeline.stages.audit.linker import linker_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="jit")


@dataclass(frozen=True)
class _Part:
    """A part of the toolkit: its header, its name for the linker, and the packages that bring both.

    ``apt`` is without the CUDA version at its end ("libcurand-dev" for libcurand-dev-13-0), ``pip`` without
    the suffix of CUDA 12 ("nvidia-curand" for nvidia-curand-cu12).
    """

    header: str
    link: str
    apt: str
    pip: str
    source: str


_PARTS = (
    _Part(
        "cuda_runtime.h",
        "cudart",
        "cuda-cudart-dev",
        "nvidia-cuda-runtime",
        "https://github.com/vllm-project/vllm/pull/33929",
    ),
    _Part(
        "curand.h",
        "",
        "libcurand-dev",
        "nvidia-curand",
        "https://github.com/syv-ai/qwen38-27b-rtx3090/pull/12",
    ),
    _Part(
        "nvrtc.h",
        "nvrtc",
        "cuda-nvrtc-dev",
        "nvidia-cuda-nvrtc",
        "https://github.com/mudler/LocalAI/pull/10257",
    ),
    _Part(
        "cublasLt.h",
        "cublasLt",
        "libcublas-dev",
        "nvidia-cublas",
        "https://github.com/vllm-project/vllm/issues/33833",
    ),
)
"""What FlashInfer's sources include, and what its modules are linked with (flashinfer/jit/cpp_ext.py)."""

_INCLUDES = ("CPATH", "CPLUS_INCLUDE_PATH")
"""Variables with further folders of headers that gcc reads: https://gcc.gnu.org/onlinedocs/gcc."""


_CALLED = {
    "bin/cudafe++": "cuda-nvcc",
    "nvvm/bin/cicc": "cuda-nvvm",
    "bin/ptxas": "cuda-nvcc",
    "bin/fatbinary": "cuda-nvcc",
}
"""What nvcc itself calls, below the folder of its bin, and the package that brings it: nvcc --dryrun. Until
CUDA 12 NVIDIA's wheel of nvcc has all of it; since 13, cicc is in nvidia-nvvm."""


def parts(image: ImageModel) -> Iterator[ImageFinding]:
    """The nvcc that FlashInfer or DeepGEMM calls has beside it what it calls itself."""
    nvcc = cuda_tool(image, "nvcc") if image.uses_cuda else None
    if nvcc is None or not (needs_nvcc(image) or has_deep_gemm(image)):
        return
    top = nvcc.removesuffix("/bin/nvcc")
    lacking = [part for part in _CALLED if not image.on_path(f"{top}/{part}")]
    if lacking:
        release = nvcc_release(image).replace(".", "-")
        packages = dict.fromkeys(
            f"{_CALLED[part]}-{release}" if release else _CALLED[part] for part in lacking
        )
        yield _finding(
            severity=Severity.WARNING,
            path=nvcc,
            text=f"nvcc is there, and not what it calls: {', '.join(lacking)}",
            why="every kernel that is compiled at run time fails: "
            f"{lacking[0].rpartition('/')[2]}: not found",
            hint=f"install {' '.join(packages)} (apt), or all of NVIDIA's wheels for it: since CUDA 13 "
            "nvidia-nvvm is one of its own",
        )


def headers(image: ImageModel) -> Iterator[ImageFinding]:
    """The headers that FlashInfer's kernels include are where its nvcc looks."""
    home = _home(image)
    if home is None:
        return
    lacking = [part for part in _PARTS if _is_header_missing(image, home, part)]
    if lacking:
        names = ", ".join(part.header for part in lacking)
        yield _finding(
            severity=Severity.WARNING,
            path=f"{home}/include",
            text=f"FlashInfer compiles with nvcc, and has no {names} to include",
            why=f"the server answers until a model or a GPU needs one of these kernels: fatal error: "
            f"{lacking[0].header}: No such file or directory ({lacking[0].source})",
            hint=_remedy(image, lacking),
        )


def _is_header_missing(image: ImageModel, home: str, part: _Part) -> bool:
    folders = (
        f"{home}/include",
        f"{home}/include/cccl",
        "/usr/include",
        "/usr/local/include",
        *(folder for name in _INCLUDES for folder in image.env.get(name, "").split(":") if folder),
    )
    return not any(image.links.file(f"{folder}/{part.header}") for folder in folders)


def links(image: ImageModel) -> Iterator[ImageFinding]:
    """The linker finds what FlashInfer's modules are linked with, and a stub of the driver that is one.

    A wheel of NVIDIA's has libcudart.so.13 only, in a folder lib; the linker asks for libcudart.so, in lib64.
    Of a part whose header is missing too, the rule for headers says so: the same package brings both.
    """
    home = _home(image)
    if home is None:
        return
    folders = (f"{home}/lib64", f"{home}/lib64/stubs", *linker_folders(image))
    lacking = [
        part
        for part in _PARTS
        if part.link
        and not _is_header_missing(image, home, part)
        and not any(
            image.links.file(f"{folder}/lib{part.link}.{end}") for folder in folders for end in ("so", "a")
        )
    ]
    complaints = [f"-l{part.link} finds no lib{part.link}.so" for part in lacking]
    if stub := _empty_stub(image, home, folders):
        complaints.append(f"{stub} defines no function of the driver")
    if complaints:
        yield _finding(
            severity=Severity.WARNING,
            path=f"{home}/lib64" if lacking else stub or "",
            text=f"FlashInfer compiles with nvcc, and cannot link: {'; '.join(complaints)}",
            why="kernels that are compiled at run time are linked with names without a version, from lib64: "
            "cannot find -lcudart; and a stub without functions leaves them without libcuda.so.1 "
            "(https://github.com/ls1intum/edutelligence/pull/682)",
            hint=_remedy(image, lacking) if lacking else "take the stub of CUDA's toolkit (cuda-driver-dev)",
        )


def _home(image: ImageModel) -> str | None:
    """The folder of the toolkit that FlashInfer compiles with, where it does."""
    return cuda_home(image) if image.uses_cuda and needs_nvcc(image) and cuda_tool(image, "nvcc") else None


def _empty_stub(image: ImageModel, home: str, folders: tuple[str, ...]) -> str | None:
    """A libcuda.so that the linker takes, or that was laid there to be taken, and that defines nothing."""
    for folder in (*folders, f"{home}/lib/stubs"):
        real = image.links.file(f"{folder}/libcuda.so")
        obj = image.inventory.objects.get(real or "")
        if obj and is_drivers(obj.soname or "libcuda.so.1"):
            return None if any(name.startswith("cu") for name in obj.defined) else obj.path
    return None


def _remedy(image: ImageModel, lacking: list[_Part]) -> str:
    release = nvcc_release(image) or image.cuda
    apt = " ".join(f"{part.apt}-{release.replace('.', '-')}" for part in lacking)
    pip = " ".join(f"{part.pip}{'-cu12' if release.startswith('12') else ''}" for part in lacking)
    return (
        f"install {apt} (apt), or {pip} (pip) with links in CUDA_HOME; or flashinfer-jit-cache of "
        "FlashInfer's version"
    )
