"""What compiles for a GPU at run time: which compiler of NVIDIA's a package calls, and what that can make."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compat.facts import version
from pipeline.formats.numbers import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.formats.cuda_compilers import CudaCompiler
    from pipeline.stages.audit.image_model import ImageModel

_FIRST_OF_TRITONS_SECOND_PTXAS = 100
"""From this capability on Triton calls ptxas-blackwell, where it has one, since 3.6.0:
https://github.com/triton-lang/triton, third_party/nvidia/backend/compiler.py, ``get_ptxas``."""

_FLASHINFER_FOR_12 = "12.9"
"""FlashInfer refuses an older nvcc for GPUs of capability 12.x ("SM 12.x requires CUDA >= 12.9"), and says
that it "requires GPUs with sm75 or higher": https://github.com/vllm-project/vllm/issues/50705."""

_DEEP_GEMMS = frozenset({"sm_90", "sm_100", "sm_103"})
"""The architectures that DeepGEMM has kernels for: https://github.com/deepseek-ai/DeepGEMM, README."""


_RELEASE = r"[0-9]{1,3}\.[0-9]{1,3}"


@dataclass(frozen=True)
class Unfit:
    """A compiler that a package calls at run time, and that makes no code for some architecture.

    ``release`` is the CUDA that it is of, empty if unknown; ``variable`` names another one to the package.
    """

    who: str
    tool: str
    path: str
    release: str
    variable: str

    def fails(self, archs: str) -> str:
        """What it cannot do, as a clause; ``archs`` are words for what it cannot do it for."""
        of = f" of CUDA {self.release}" if self.release else ""
        if self.tool == "ptxas":
            return f"{self.who}'s ptxas{of} makes no code for {archs}"
        return f"nvcc{of} cannot compile {self.who}'s kernels for {archs}"


def unfit(image: ImageModel, arch: str) -> tuple[Unfit, ...]:
    """The compilers of the main environment that make nothing for this architecture ("sm_121")."""
    return tuple(_unfit(image, arch)) if image.uses_cuda else ()


def needed(image: ImageModel, arch: str, who: str) -> str:
    """The oldest CUDA whose compilers make code for an architecture ("12.9"), as that package wants it."""
    row = image.facts.drivers_of(arch)
    firsts = [row.cuda] if row and row.cuda else []
    firsts += [_FLASHINFER_FOR_12] if who == "FlashInfer" and arch.startswith("sm_12") else []
    return max(firsts, key=version, default="")


def _unfit(image: ImageModel, arch: str) -> Iterator[Unfit]:
    compilers = image.inventory.compilers
    if "triton" in image.installed and (found := tritons_ptxas(image, arch)):
        variable, path = found
        compiler = compilers.get(path)
        if compiler and not compiler.makes(arch):
            yield Unfit("Triton", "ptxas", path, compiler.release, variable)
    nvcc = cuda_tool(image, "nvcc")
    users = [*(["FlashInfer"] if needs_nvcc(image) else ()), *(["DeepGEMM"] if has_deep_gemm(image) else ())]
    for who in users if nvcc else ():
        if who == "DeepGEMM" and arch not in _DEEP_GEMMS:
            continue
        release, first = nvcc_release(image), needed(image, arch, who)
        compiler = compilers.get(nvcc or "")
        if (compiler and not compiler.makes(arch)) or (release and first and _older(release, first)):
            yield Unfit(who, "nvcc", nvcc or "", release, "CUDA_HOME")


def tritons_ptxas(image: ImageModel, arch: str) -> tuple[str, str] | None:
    """The ptxas that Triton calls for an architecture: the variable that names another, and its real path.

    A variable that names nothing that can be run is passed over.
    """
    if image.main is None:
        return None
    folder = f"{image.main.site}/triton/backends/nvidia/bin"
    second = f"{folder}/ptxas-blackwell"
    is_second = _capability(arch) >= _FIRST_OF_TRITONS_SECOND_PTXAS and second in image.inventory.nodes
    variable = "TRITON_PTXAS_BLACKWELL_PATH" if is_second else "TRITON_PTXAS_PATH"
    places = (
        image.env.get(variable, ""),
        second if is_second else f"{folder}/ptxas",
        f"{image.main.site}/triton/third_party/cuda/bin/ptxas",  # before Triton 3.0
        *(("/usr/local/cuda/bin/ptxas", "ptxas") if not is_second else ()),
    )
    path = next((real for place in places if place and (real := image.on_path(place))), None)
    return (variable, path) if path else None


def better_ptxas(image: ImageModel, archs: tuple[str, ...]) -> str | None:
    """Another ptxas of the image that makes code for all these architectures."""
    fitting = (
        path
        for path, compiler in sorted(image.inventory.compilers.items())
        if "ptxas" in path.rpartition("/")[2] and all(map(compiler.makes, archs))
    )
    return next(fitting, None)


def needs_nvcc(image: ImageModel) -> bool:
    """Whether FlashInfer is there without compiled kernels of its own version.

    ``flashinfer-cubin`` holds what FlashInfer downloads otherwise, not what it compiles.
    """
    flashinfer = image.installed.get("flashinfer-python") or image.installed.get("flashinfer")
    cache = image.installed.get("flashinfer-jit-cache")
    return flashinfer is not None and (
        cache is None or cache.version.partition("+")[0] != flashinfer.version.partition("+")[0]
    )


def has_deep_gemm(image: ImageModel) -> bool:
    """Whether DeepGEMM is there, by itself or inside vLLM."""
    site = image.main.site if image.main else ""
    vendored = (f"{site}/vllm/third_party/deep_gemm", f"{site}/deep_gemm")
    return "deep-gemm" in image.installed or any(folder in image.inventory.nodes for folder in vendored)


def cuda_home(image: ImageModel) -> str:
    """The folder of the toolkit: CUDA_HOME or CUDA_PATH, else that of the nvcc on PATH, else the default.

    So torch.utils.cpp_extension and FlashInfer find it. What a variable names may not be there.
    """
    if named := named_home(image):
        return image.env[named].rstrip("/")
    nvcc = next((f"{folder}/nvcc" for folder in image.path if image.on_path(f"{folder}/nvcc")), "")
    return nvcc.removesuffix("/bin/nvcc") or "/usr/local/cuda"


def named_home(image: ImageModel) -> str | None:
    """The variable that names the toolkit's folder, if one does."""
    return next((name for name in ("CUDA_HOME", "CUDA_PATH") if image.env.get(name)), None)


def is_home_missing(image: ImageModel) -> bool:
    """Whether a variable names a folder of the toolkit that is not there."""
    named = named_home(image)
    return named is not None and not is_there(image, image.env[named])


def is_there(image: ImageModel, place: str) -> bool:
    """Whether there is something at this path; layers need not list the folders that their files are in."""
    real = image.links.real(place.rstrip("/"))
    nodes = image.inventory.nodes
    return real in nodes or any(path.startswith(f"{real}/") for path in nodes)


def cuda_tool(image: ImageModel, name: str) -> str | None:
    """The real path of a tool of CUDA; where a variable names the toolkit's folder, only there."""
    if named := named_home(image):
        return image.on_path(f"{image.env[named].rstrip('/')}/bin/{name}")
    places = (name, f"/usr/local/cuda/bin/{name}")
    return next((real for place in places if (real := image.on_path(place))), None)


def nvcc_release(image: ImageModel) -> str:
    """The CUDA of the nvcc that is found ("12.8"): by its bytes, its folder, or its package; else empty."""
    path = cuda_tool(image, "nvcc") or ""
    compiler: CudaCompiler | None = image.inventory.compilers.get(path)
    if compiler and compiler.release:
        return compiler.release
    if folder := re.search(rf"/cuda-({_RELEASE})/", path):
        return folder[1]
    packaged = [part for what, part, _ in image.components if what == "nvcc" and re.fullmatch(_RELEASE, part)]
    return packaged[-1] if packaged else ""


def _capability(arch: str) -> int:
    return whole("".join(filter(str.isdigit, arch))) or 0


def _older(release: str, other: str) -> bool:
    return bool(release) and version(release) < version(other)
