"""Which GPUs the device code of an image reaches, how, and which driver that needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compat.drivers import numbers, older, window_of
from pipeline.formats.gpu_arch import coverage, in_order
from pipeline.model import DriverFloor, GpuReach, LibraryReach, Reach
from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.compilers import unfit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.rows import Gpu
    from pipeline.formats.elf.objects import SharedObject
    from pipeline.stages.audit.image_model import ImageModel

_VARIANT = re.compile(r"_cuda([0-9]{3})\.so$")
_WORST_LAST: tuple[Reach, ...] = ("native", "PTX", "none")


def coding(image: ImageModel) -> tuple[tuple[str, SharedObject], ...]:
    """The objects with device code that may be loaded, by path, without those that link it at run time."""
    objects = image.inventory.objects
    loaded = (path for path in sorted(image.reachable) if objects[path].device_code)
    return tuple(
        (path, objects[path])
        for path in loaded
        if not known_libraries.matching(known_libraries.JIT_LINKED, path)
    )


def is_core(path: str) -> bool:
    """Whether every model runs it."""
    return known_libraries.matching(known_libraries.CORE, path) is not None


def reach_of(obj: SharedObject, arch: str) -> Reach:
    """How the device code of one object reaches an architecture (``sm_90``)."""
    return coverage(tuple(code.arch for code in obj.device_code or ()), arch).value


def architectures(image: ImageModel) -> tuple[str, ...]:
    """The columns of the table: the requested architectures, and those of the known GPUs."""
    return in_order((*image.expected.archs, *(gpu.sm for gpu in image.facts.listed_gpus)))


def libraries(image: ImageModel) -> tuple[LibraryReach, ...]:
    """The table: each library with device code, and how it reaches each architecture; the core first."""
    columns = architectures(image)
    rows = (
        LibraryReach(
            path=path,
            toolkit=obj.compiled_by,
            is_core=is_core(path),
            reach={arch: reach_of(obj, arch) for arch in columns},
        )
        for path, obj in coding(image)
    )
    return tuple(sorted(rows, key=lambda row: (not row.is_core, row.path)))


def gpus(image: ImageModel) -> tuple[GpuReach, ...]:
    """How the image reaches every known GPU, by the library with the worst coverage, and its drivers."""
    deciding, floor = _deciding(image), driver_floor(image)
    if not deciding or floor is None:
        return ()
    return tuple(_on(gpu, image, deciding, floor) for gpu in image.facts.listed_gpus)


def native(image: ImageModel) -> tuple[str, ...]:
    """The architectures of known GPUs for this machine that what decides has machine code for."""
    deciding = _deciding(image)
    gpus = [gpu for gpu in image.facts.listed_gpus if gpu.machine in {None, image.machine}]
    return in_order(
        tuple(
            gpu.sm
            for gpu in gpus
            if deciding and all(reach_of(obj, gpu.sm) == "native" for _, obj in deciding)
        )
    )


def _on(
    gpu: Gpu, image: ImageModel, deciding: tuple[tuple[str, SharedObject], ...], floor: DriverFloor
) -> GpuReach:
    how = max((reach_of(obj, gpu.sm) for _, obj in deciding), key=_WORST_LAST.index)
    row = GpuReach(name=gpu.name, arch=gpu.sm, reach=how)
    if how == "none":
        return row
    lacking = [kernels for kernels in packages_without(image, gpu.sm) if kernels.is_loaded]
    if lacking:
        lacks = f"{', '.join(kernels.package for kernels in lacking)} has no code for it"
        return row.model_copy(update={"reach": "none", "lacks": lacks})
    if compilers := unfit(image, gpu.sm):
        lacks = "; ".join(compiler.fails("it") for compiler in compilers)
        row = row.model_copy(update={"reach": "partly", "lacks": lacks})
    oldest, window = _with_ptx(image, gpu.sm, floor).version, window_of(gpu.name, image.facts)
    if window:
        oldest = max(oldest, window.first, key=numbers)
    last = window.last if window else None
    return row.model_copy(update={"driver": oldest, "last_driver": last or ""})


@dataclass(frozen=True)
class Kernels:
    """The libraries with device code of one package: its name, their paths, and whether one is loaded.

    What belongs to no package of Python is one by itself, named by its path.
    """

    package: str
    paths: tuple[str, ...]
    is_loaded: bool


def packages_without(image: ImageModel, arch: str) -> tuple[Kernels, ...]:
    """The packages none of whose libraries reaches an architecture, but for PyTorch, vLLM and NVIDIA's own.

    Of those the core decides; what they bring besides is for some programs only.
    """
    objects = image.inventory.objects
    return tuple(
        kernels
        for kernels in _kernels(image)
        if all(reach_of(objects[path], arch) == "none" for path in kernels.paths)
    )


def _kernels(image: ImageModel) -> Iterator[Kernels]:
    paths_by_package: dict[str, list[str]] = {}
    for path in _chosen(image, [path for path, _ in coding(image)]):
        environment = image.environment_of(path)
        paths_by_package.setdefault(environment.package(path) if environment else path, []).append(path)
    for package, paths in paths_by_package.items():
        if not any(is_core(path) or _is_nvidias(path) for path in paths):
            yield Kernels(package, tuple(paths), any(path in image.in_use for path in paths))


def _chosen(image: ImageModel, paths: list[str]) -> list[str]:
    """The same without the variants for another CUDA, of which a package such as bitsandbytes opens one."""
    own = image.cuda.replace(".", "")
    variants = {path: match[1] for path in paths if (match := _VARIANT.search(path))}
    folders = {path.rpartition("/")[0] for path, cuda in variants.items() if cuda == own}
    return [
        path for path in paths if path.rpartition("/")[0] not in folders or variants.get(path, own) == own
    ]


def _is_nvidias(path: str) -> bool:
    """Whether it is a library of CUDA, wherever it lies; a copy that a wheel has grafted is too."""
    return "/nvidia/" in path or path.rpartition("/")[2].startswith(("libcu", "libnv", "libnpp", "libnccl"))


def _deciding(image: ImageModel) -> tuple[tuple[str, SharedObject], ...]:
    """The libraries that decide: the core, or if there is none, all that are not NVIDIA's own."""
    rows = coding(image)
    core = tuple(row for row in rows if is_core(row[0]))
    return core or tuple(row for row in rows if "/nvidia/" not in row[0]) or rows


def driver_floor(image: ImageModel) -> DriverFloor | None:
    """The oldest Linux driver for what is inside, and why; None if nothing uses CUDA, or if it is unknown.

    The floor is that of minor-version compatibility; if a requested architecture is reached by PTX only, it
    is the driver that came with the toolkit that compiled the PTX:
    https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html.
    """
    if not image.cuda:
        return None
    row = image.facts.floor(image.cuda)
    if row is None:
        return None
    floor = DriverFloor(
        version=row.driver,
        reason=f"CUDA {image.cuda} inside; drivers since {row.driver} run machine code of CUDA {row.cuda}",
    )
    for arch in image.expected.archs:
        floor = _with_ptx(image, arch, floor)
    return floor


def _with_ptx(image: ImageModel, arch: str, floor: DriverFloor) -> DriverFloor:
    """The floor for this architecture: higher if a deciding library has PTX only."""
    for path, obj in _deciding(image):
        toolkit = obj.compiled_by or image.cuda
        needed = image.facts.toolkit(toolkit)
        if reach_of(obj, arch) == "PTX" and needed and older(floor.version, needed.driver):
            reason = (
                f"{arch} is reached by PTX of CUDA {toolkit} only ({path}), which needs that toolkit's driver"
            )
            floor = DriverFloor(version=needed.driver, reason=reason)
    return floor
