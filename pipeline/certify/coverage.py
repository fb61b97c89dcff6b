"""Which GPUs the device code of an image reaches, how, and the driver that this needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.certify import known
from pipeline.compat.drivers import numbers, older, window_of
from pipeline.formats.gpu_code import coverage, in_order
from pipeline.nouns import DriverFloor, GpuReach, LibraryReach, Reach

if TYPE_CHECKING:
    from pipeline.certify.inventory import SharedObject
    from pipeline.certify.subject import Subject
    from pipeline.compat.facts import Gpu

_WORST_LAST: tuple[Reach, ...] = ("native", "PTX", "none")


def coding(subject: Subject) -> tuple[tuple[str, SharedObject], ...]:
    """The objects with device code that something may load, by path; less those that bring it otherwise."""
    objects = subject.inventory.objects
    loaded = (path for path in sorted(subject.reachable) if objects[path].device_code)
    return tuple((path, objects[path]) for path in loaded if not known.matching(known.JIT_LINKED, path))


def is_core(path: str) -> bool:
    """Whether every model runs it."""
    return known.matching(known.CORE, path) is not None


def reach_of(one: SharedObject, arch: str) -> Reach:
    """How the device code of one object reaches an architecture (``sm_90``)."""
    return coverage(tuple(code.arch for code in one.device_code or ()), arch).value


def architectures(subject: Subject) -> tuple[str, ...]:
    """The columns of the table: what is asked for, and what the known GPUs are."""
    return in_order((*subject.wanted.archs, *(gpu.sm for gpu in subject.facts.gpus)))


def libraries(subject: Subject) -> tuple[LibraryReach, ...]:
    """The table: each library with device code, and how it reaches each architecture; the core first."""
    columns = architectures(subject)
    rows = (
        LibraryReach(
            path=path,
            toolkit=one.compiled_by,
            is_core=is_core(path),
            reach={arch: reach_of(one, arch) for arch in columns},
        )
        for path, one in coding(subject)
    )
    return tuple(sorted(rows, key=lambda row: (not row.is_core, row.path)))


def gpus(subject: Subject) -> tuple[GpuReach, ...]:
    """Every known GPU, as the library that serves it worst reaches it, and the drivers there."""
    deciding, floor = _deciding(subject), driver_floor(subject)
    if not deciding or floor is None:
        return ()
    return tuple(_on(gpu, subject, deciding, floor) for gpu in subject.facts.gpus)


def _on(
    gpu: Gpu, subject: Subject, deciding: tuple[tuple[str, SharedObject], ...], floor: DriverFloor
) -> GpuReach:
    how = max((reach_of(one, gpu.sm) for _, one in deciding), key=_WORST_LAST.index)
    found = GpuReach(name=gpu.name, arch=gpu.sm, reach=how)
    if how == "none":
        return found
    oldest, window = _with_ptx(subject, gpu.sm, floor).version, window_of(gpu.name, subject.facts)
    if window:
        oldest = max(oldest, window.first, key=numbers)
    last = window.last if window else None
    return found.model_copy(update={"driver": oldest, "last_driver": last or ""})


def _deciding(subject: Subject) -> tuple[tuple[str, SharedObject], ...]:
    """The libraries that decide: the core, or where there is none, all that is not NVIDIA's own."""
    rows = coding(subject)
    core = tuple(row for row in rows if is_core(row[0]))
    return core or tuple(row for row in rows if "/nvidia/" not in row[0]) or rows


def driver_floor(subject: Subject) -> DriverFloor | None:
    """The oldest Linux driver for what is inside, and why; None where nothing uses CUDA, or nobody knows.

    The floor is that of minor-version compatibility, and where an architecture that is asked for is reached
    by PTX only, the driver that came with the toolkit that made it:
    https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html.
    """
    if not subject.cuda:
        return None
    row = subject.facts.floor(subject.cuda)
    if row is None:
        return None
    floor = DriverFloor(
        version=row.driver,
        reason=f"CUDA {subject.cuda} inside; drivers since {row.driver} run machine code of CUDA {row.cuda}",
    )
    for arch in subject.wanted.archs:
        floor = _with_ptx(subject, arch, floor)
    return floor


def _with_ptx(subject: Subject, arch: str, floor: DriverFloor) -> DriverFloor:
    """The floor where this architecture is reached: higher, where a deciding library has PTX only."""
    for path, one in _deciding(subject):
        toolkit = one.compiled_by or subject.cuda
        needed = subject.facts.toolkit(toolkit)
        if reach_of(one, arch) == "PTX" and needed and older(floor.version, needed.driver):
            reason = (
                f"{arch} is reached by PTX of CUDA {toolkit} only ({path}), which needs that toolkit's driver"
            )
            floor = DriverFloor(version=needed.driver, reason=reason)
    return floor
