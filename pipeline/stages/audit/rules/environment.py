"""Environment: what a variable of the image names is there, and what it lists includes what is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.formats.gpu_arch import Coverage, coverage
from pipeline.formats.numbers import whole
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.compilers import cuda_tool, is_there, needs_nvcc
from pipeline.stages.audit.coverage import native

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    """The architectures that a variable lists for run-time compilation reach what the image is for."""
    for variable, is_read, suffixes, who in (
        ("FLASHINFER_CUDA_ARCH_LIST", needs_nvcc(image), _FLASHINFERS, "FlashInfer"),
        ("TORCH_CUDA_ARCH_LIST", bool(cuda_tool(image, "nvcc")), {}, "torch.utils.cpp_extension"),
    ):
        value = image.env.get(variable, "")
        listed = tuple(_listed(value, suffixes))
        asked = image.expected.archs or (native(image) if who == "FlashInfer" else ())
        lacking = [arch for arch in asked if coverage(listed, arch) is Coverage.NONE]
        if listed and lacking and is_read and image.uses_cuda:
            yield _finding(
                severity=Severity.WARNING,
                text=f"{variable} is {value!r}, which has nothing for {', '.join(lacking)}",
                why=f"{who} compiles for what is listed, whatever GPU is there: no kernel image is available",
                hint="leave it unset, so that it compiles for the GPU that is there, or list all",
            )


_FLASHINFERS = {9: "a", 10: "a", 11: "a", 12: "f"}
"""What FlashInfer adds to a number without a suffix, by its major: flashinfer/compilation_context.py."""

_LISTED = re.compile(r"([0-9]{1,2})\.([0-9])([af]?)(\+PTX)?", re.IGNORECASE)


def _listed(value: str, suffixes: Mapping[int, str]) -> Iterator[str]:
    """The architectures of a list such as ``8.0 9.0a 12.0+PTX``; names of families are passed over."""
    for match in map(_LISTED.fullmatch, value.replace(";", " ").split()):
        if match:
            major, minor, suffix, ptx = match.groups()
            suffix = suffix.lower() or suffixes.get(whole(major) or 0, "")
            yield f"sm_{major}{minor}{suffix}"
            if ptx:
                yield f"compute_{major}{minor}{suffix}"
