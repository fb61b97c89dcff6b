"""Device code: the libraries that need code for a GPU have it, for each architecture that is asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.coverage import coding, is_core, reach_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.formats.elf.objects import SharedObject
    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="device-code")

_LINKS_CUDA = frozenset({"libtorch_cuda.so", "libc10_cuda.so"})


def empty(image: ImageModel) -> Iterator[ImageFinding]:
    """A library of kernels that was built for CUDA holds some; so does a package of compiled kernels."""
    for path in sorted(image.inventory.objects):
        obj = image.inventory.objects[path]
        row = known_libraries.matching(known_libraries.KERNELS, path)
        if obj.device_code or obj.machine != image.machine or not (row and _is_for_cuda(obj)):
            continue
        yield _finding(
            severity=Severity.ERROR,
            path=path,
            text="it holds no code for any GPU",
            why=f"it is {row.reason} and was built for CUDA: no kernel image is available ({row.source})",
            hint="build it again with the architectures named: where no GPU is seen, some builds take none",
        )
    yield from _empty_cache(image)
    if image.expected.cell and image.expected.cell.needs_gpu and not coding(image):
        yield _finding(
            severity=Severity.ERROR,
            text="nothing in the image has code for a GPU",
            why=f"the cell is for {image.expected.cell.cuda}",
            hint="look at what was installed: a build for the CPU is there",
        )


def _is_for_cuda(obj: SharedObject) -> bool:
    return obj.device_code == () or any(
        known_libraries.cuda_major(need) or need in _LINKS_CUDA or known_libraries.is_drivers(need)
        for need in obj.needs
    )


def _empty_cache(image: ImageModel) -> Iterator[ImageFinding]:
    package = image.installed.get("flashinfer-jit-cache")
    if package and image.main and not image.matching(f"{image.main.site}/flashinfer_jit_cache/*.so"):
        yield _finding(
            severity=Severity.ERROR,
            path=f"{image.main.site}/flashinfer_jit_cache",
            text="FlashInfer's package of compiled kernels holds none",
            why="every kernel is compiled at run time instead, by an nvcc that is often not there "
            "(https://github.com/vllm-project/vllm/issues/21768)",
            hint="build it again with FLASHINFER_CUDA_ARCH_LIST set",
        )


def reached(image: ImageModel) -> Iterator[ImageFinding]:
    """Each architecture that is asked for is reached by every library that all models run.

    Kernels for some models only are noted. Of all other libraries the table tells.
    """
    for path, obj in coding(image):
        kernels = known_libraries.matching(known_libraries.KERNELS, path)
        for arch in image.expected.archs if kernels else ():
            how = reach_of(obj, arch)
            if how == "none":
                yield _finding(
                    severity=Severity.ERROR if is_core(path) else Severity.NOTE,
                    path=path,
                    text=f"it has no code for {arch}",
                    why="no kernel image is available for execution on the device"
                    if is_core(path)
                    else "models that ask for it do not run on this GPU; others do",
                    hint="take a build that names it, or drop it from `gpu: archs:`",
                )
            elif how == "PTX" and is_core(path):
                yield _finding(
                    severity=Severity.WARNING,
                    path=path,
                    text=f"it reaches {arch} by PTX only",
                    why="the driver compiles it at the first start, which takes minutes, and must be as new "
                    "as the toolkit that made the PTX",
                    hint=f"take a build with machine code for {arch}",
                )
