"""Environment: what a variable of the image names is there, and what it lists includes what is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.formats import axes
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.compilers import is_there, needs_nvcc
from pipeline.stages.audit.coverage import native

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="config")


@dataclass(frozen=True)
class _Named:
    """A variable that names one file or folder, and what happens where that is not there."""

    variable: str
    severity: Severity
    why: str


_KNOBS = "https://github.com/triton-lang/triton: python/triton/knobs.py"

_NAMED = (
    _Named(
        "PYTHONHOME",
        Severity.ERROR,
        "Python does not start: No module named 'encodings' (https://docs.python.org/3/using/cmdline.html)",
    ),
    _Named(
        "CUDA_HOME",
        Severity.WARNING,
        "what compiles at run time looks for nvcc there and nowhere else "
        "(https://github.com/pytorch/pytorch: torch/utils/cpp_extension.py, _find_cuda_home)",
    ),
    _Named("CUDA_PATH", Severity.WARNING, "it is read where CUDA_HOME is not set, with the same result"),
    _Named("TRITON_PTXAS_PATH", Severity.WARNING, f"Triton passes over it, and takes its own ({_KNOBS})"),
    _Named(
        "TRITON_PTXAS_BLACKWELL_PATH",
        Severity.WARNING,
        f"Triton passes over it, and takes its own ({_KNOBS})",
    ),
    _Named(
        "TRITON_LIBCUDA_PATH",
        Severity.WARNING,
        "Triton links its launchers from there alone: cannot find -l:libcuda.so.1",
    ),
    _Named(
        "VLLM_NCCL_SO_PATH",
        Severity.WARNING,
        "vLLM opens this NCCL and no other, so that several GPUs are used without its own collectives "
        "(https://github.com/vllm-project/vllm: vllm/utils, find_nccl_library)",
    ),
    _Named("SSL_CERT_FILE", Severity.WARNING, "every connection by TLS fails: no certificate is trusted"),
    _Named("REQUESTS_CA_BUNDLE", Severity.WARNING, "downloads fail: could not find a suitable TLS CA bundle"),
)
_MOUNTED = ("/usr/local/nvidia/", "/run/", "/var/run/", "/mnt/")
"""Where a platform puts things when a container starts."""


def places(image: ImageModel) -> Iterator[ImageFinding]:
    """What a variable names is in the image, unless it is where a platform mounts it."""
    for row in _NAMED:
        place = image.env.get(row.variable, "")
        if not place.startswith("/") or f"{place}/".startswith(_MOUNTED) or is_there(image, place):
            continue
        yield _finding(
            severity=row.severity,
            path=place,
            text=f"{row.variable} names {place}, which is not there",
            why=row.why,
            hint=f"install it there, or correct {row.variable}",
        )


def architectures(image: ImageModel) -> Iterator[ImageFinding]:
    """The architectures that FlashInfer is told to compile for include those that the image is for."""
    value = image.env.get("FLASHINFER_CUDA_ARCH_LIST", "")
    words = (word.rstrip("af") for word in value.replace(";", " ").split())  # 9.0a and 12.0f
    listed = {arch for word in words for arch in axes.meanings(word, axes.ARCH)}
    if not listed or not image.uses_cuda or not needs_nvcc(image):
        return
    lacking = [arch for arch in image.expected.archs or native(image) if arch not in listed]
    if lacking:
        yield _finding(
            severity=Severity.WARNING,
            text=f"FLASHINFER_CUDA_ARCH_LIST is {value!r}, without {', '.join(lacking)}",
            why="FlashInfer compiles for what is listed, whatever GPU is there: no kernel image is available",
            hint="leave it unset, so that it compiles for the GPU that is there, or list all",
        )
