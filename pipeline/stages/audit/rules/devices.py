"""Device code: the libraries that need code for a GPU have it, for each requested architecture."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.coverage import coding, is_core, packages_without, reach_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.formats.elf.objects import SharedObject
    from pipeline.model import Reach
    from pipeline.stages.audit.coverage import Kernels
    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="device-code")

_LINKS_CUDA = frozenset({"libtorch_cuda.so", "libc10_cuda.so"})


def empty(image: ImageModel) -> Iterator[ImageFinding]:
    """A library of kernels that was built for CUDA has some; so has a package of compiled kernels."""
    for path in sorted(image.inventory.objects):
        obj = image.inventory.objects[path]
        row = known_libraries.matching(known_libraries.KERNELS, path)
        if obj.device_code or obj.machine != image.machine or not (row and _is_for_cuda(obj)):
            continue
        yield _finding(
            severity=Severity.ERROR,
            path=path,
            text="it has no code for any GPU",
            why=f"it is {row.reason} and was built for CUDA: no kernel image is available ({row.source})",
            hint="build it again and name the architectures: without a GPU, some builds choose none",
        )
    yield from _empty_cache(image)
    if image.expected.cell and image.expected.cell.needs_gpu and not coding(image):
        yield _finding(
            severity=Severity.ERROR,
            text="nothing in the image has code for a GPU",
            why=f"the cell is for {image.expected.cell.cuda}",
            hint="check what was installed: it seems to be a build for the CPU",
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
            text="FlashInfer's package of compiled kernels is empty",
            why="every kernel is compiled at run time instead, by an nvcc that is often missing "
            "(https://github.com/vllm-project/vllm/issues/21768)",
            hint="build it again with FLASHINFER_CUDA_ARCH_LIST set",
        )


def reached(image: ImageModel) -> Iterator[ImageFinding]:
    """Each requested architecture is reached by every library that all models run, and by every package.

    A package with code for other architectures only is useless there. Where another library of it reaches
    the architecture, one that does not is for some models or functions, and a note.
    """
    for arch in image.expected.archs:
        useless = packages_without(image, arch)
        yield from (_useless(kernels, arch) for kernels in useless)
        reported = {path for kernels in useless for path in kernels.paths}
        for path, obj in coding(image):
            if path not in reported:
                yield from _of_library(path, reach_of(obj, arch), arch)


def _useless(kernels: Kernels, arch: str) -> ImageFinding:
    several = f" in any of its {len(kernels.paths)} libraries" if len(kernels.paths) > 1 else ""
    subject = kernels.package if kernels.package != kernels.paths[0] else "it"
    return _finding(
        severity=Severity.ERROR if kernels.is_loaded else Severity.WARNING,
        path=kernels.paths[0],
        text=f"{subject} has no code for {arch}{several}",
        why="whatever calls it fails: no kernel image is available for execution on the device "
        "(https://github.com/pytorch/FBGEMM/issues/6151)",
        hint=f"use a build for {arch}, or remove it if nothing calls it",
    )


def _of_library(path: str, how: Reach, arch: str) -> Iterator[ImageFinding]:
    if how == "none" and is_core(path):
        yield _finding(
            severity=Severity.ERROR,
            path=path,
            text=f"it has no code for {arch}",
            why="no kernel image is available for execution on the device",
            hint="use a build that has it, or remove it from `gpu: archs:`",
        )
    elif how == "none" and known_libraries.matching(known_libraries.KERNELS, path):
        yield _finding(
            severity=Severity.NOTE,
            path=path,
            text=f"it has no code for {arch}",
            why="models that need it do not run on this GPU; others do",
            hint="use a build that has it, or remove it from `gpu: archs:`",
        )
    elif how == "PTX" and is_core(path):
        yield _finding(
            severity=Severity.WARNING,
            path=path,
            text=f"it reaches {arch} by PTX only",
            why="the driver compiles it at the first start, which takes minutes, and must be as new "
            "as the toolkit that compiled the PTX",
            hint=f"use a build with machine code for {arch}",
        )
