"""Devices and drivers: is there code for this GPU, and does the host's driver run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compat.drivers import (
    DRIVERS,
    HINTS,
    MINOR_VERSIONS,
    PTX,
    is_past,
    judged,
    older,
    reaches,
    window_of,
)
from pipeline.compat.rules.other_builds import other_vllm
from pipeline.compat.rules.releases import vllm_of
from pipeline.formats.gpu_arch import Coverage, coverage, in_order, is_older
from pipeline.model import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.drivers import Window
    from pipeline.compat.facts import Facts
    from pipeline.compat.rows import Floor, Jetson, Source
    from pipeline.model import Cell, Conditions

FORWARD = "https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html"
SHADOWED = "https://github.com/vllm-project/vllm/issues/33447"


Pins = tuple[tuple[str, str], ...]
"""Packages that the matrix pins, with their versions."""


def parts(
    cell: Cell, facts: Facts, pins: Pins = ()
) -> Iterator[tuple[str, str, tuple[str, ...] | None, Source]]:
    """What has device code: name, the CUDA that compiled it, its architectures, and where that is from."""
    ours = cell.cuda_version
    if ours is None:
        return
    archs, source = facts.archs_of(cell.torch, cell.cuda, cell.machine)
    yield f"torch {cell.torch} ({cell.cuda})", ours, archs, source
    if other := other_vllm(cell, facts, pins):
        yield f"vLLM {other.version}", other.cuda, other.archs, other.source
    elif vllm := vllm_of(cell, facts):
        yield f"vLLM {cell.vllm}", vllm.cuda or ours, vllm.archs, vllm.source("archs")


def archs(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """Each architecture asked for is reached by every part, by machine code or by PTX."""
    archs = facts.archs_asked(conditions) if cell.needs_gpu else ()
    for name, toolkit, built, source in parts(cell, facts, conditions.pins) if archs else ():
        if built is None:
            yield _unread(name, toolkit, archs, facts, source)
            continue
        reached = {arch: coverage(built, arch) for arch in archs}
        if missing := [arch for arch, how in reached.items() if how is Coverage.NONE]:
            text = f"{name} has no code for {' '.join(missing)}, only {' '.join(built)}: no kernel image"
            yield Finding("archs", Level.IMPOSSIBLE, text, source, _instead(cell, name, missing, facts))
        if by_ptx := [arch for arch, how in reached.items() if how is Coverage.PTX]:
            yield _by_ptx(name, by_ptx, toolkit, facts, driver=_compiling(conditions, facts), source=source)
        if native := [arch for arch, how in reached.items() if how is Coverage.NATIVE]:
            yield Finding("archs", Level.OK, f"{name} has machine code for {' '.join(native)}", source)


_DROP = "take a build that names it; in a matrix, or drop it from `gpu: archs:`"


def _instead(cell: Cell, name: str, missing: list[str], facts: Facts) -> str:
    """Where code for these architectures is: in a JetPack's builds, or in this PyTorch's for another CUDA."""
    if jetson := next((row for arch in missing if (row := facts.jetson(arch))), None):
        return _jetpack(jetson)
    listed = facts.variants_of(cell.torch) if name.startswith("torch") else None
    having = [
        cuda
        for cuda in (listed.variants if listed else ())
        if (archs := facts.archs_of(cell.torch, cuda, cell.machine)[0])
        and not any(coverage(archs, arch) is Coverage.NONE for arch in missing)
    ]
    return f"torch {cell.torch} has it in its build for {' and '.join(having)}" if having else _DROP


def _jetpack(row: Jetson) -> str:
    where = f", from an index of its own: {row.index}" if row.index else ""
    return f"take a build for JetPack {row.jetpack}{where}"


def _unread(name: str, toolkit: str, archs: tuple[str, ...], facts: Facts, source: Source) -> Finding:
    """Nobody read this build; but what nobody can have built is known all the same."""
    for row in filter(None, map(facts.jetson, archs)):
        text = f"{name} is for servers: no such build has code for {row.sm}, and no other code runs there"
        return Finding("archs", Level.IMPOSSIBLE, text, (*source, *row.source), _jetpack(row))
    oldest = facts.oldest_arch(toolkit)
    if oldest and (dropped := [arch for arch in archs if is_older(arch, oldest.oldest)]):
        begins = f"CUDA {oldest.cuda} compiles for {oldest.oldest} and newer"
        text, hint = f"{name} has no code for {' '.join(dropped)}: {begins}", "take a build for an older CUDA"
        return Finding("archs", Level.IMPOSSIBLE, text, (*source, *oldest.source), hint)
    text = f"for which architectures {name} is built is not known"
    return Finding("archs", Level.UNKNOWN, text, source, "ask the build itself: torch.cuda.get_arch_list()")


def _compiling(conditions: Conditions, facts: Facts) -> str | None:
    """The driver that compiles PTX: the host's, or a newer one that a compat package brings."""
    brought = facts.toolkit(conditions.compat) if conditions.compat else None
    here = conditions.driver
    return brought.driver if here and brought and older(here, brought.driver) else here


def _by_ptx(
    name: str, reached: list[str], toolkit: str, facts: Facts, *, driver: str | None, source: Source
) -> Finding:
    """PTX is compiled by the driver, which must be as new as the very toolkit that made it."""
    text = f"{name} reaches {' '.join(reached)} by PTX only"
    needed = facts.toolkit(toolkit)
    sources = (*source, PTX)
    if needed is None:
        hint = f"ask NVIDIA's release notes for the driver of CUDA {toolkit}"
        return Finding(
            "archs", Level.UNKNOWN, f"{text}, and the driver of CUDA {toolkit} is not known", sources, hint
        )
    sources = (*sources, *needed.source)
    text = f"{text}, which needs driver {needed.driver} or newer (that of CUDA {toolkit})"
    if driver and older(driver, needed.driver):
        return Finding("archs", Level.IMPOSSIBLE, f"{text}; {driver} is there", sources, "update the driver")
    return Finding("archs", Level.WARN, text, sources, "the first start compiles, and takes minutes")


def driver(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """The host's driver is at or above the floor of the CUDA major."""
    if cell.cuda_version is None:
        return
    floor = facts.floor(cell.cuda_version)
    if floor is None:
        text = f"which driver CUDA {cell.cuda_version} needs is not known"
        yield Finding("driver", Level.UNKNOWN, text, (MINOR_VERSIONS,))
        return
    text = f"CUDA {floor.cuda} needs driver {floor.driver} or newer"
    here = conditions.driver
    if here is None:
        yield Finding("driver", Level.OK, text, floor.source)
        return
    level, text = reaches(here, floor.driver), f"{text}; {here} is there"
    if level is not Level.IMPOSSIBLE:
        text = f"{text}{_made_for(here, cell, facts)}"
        yield Finding("driver", level, text, floor.source, HINTS[level].format(floor.driver))
    elif conditions.compat is None:
        hint = f"{HINTS[level].format(floor.driver)}, or take a build for an older CUDA"
        yield Finding("driver", level, text, floor.source, hint)


def _made_for(here: str, cell: Cell, facts: Facts) -> str:
    """What a driver older than the toolkit's own cannot do."""
    own = facts.toolkit(cell.cuda_version or "")
    if own is None or not older(here, own.driver):
        return ""
    return f", older than {own.driver} of CUDA {own.cuda}: machine code runs all the same, PTX does not"


def gpus_driver(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """A driver knows each GPU that is asked for, and runs this CUDA; the host's is such a one."""
    if cell.cuda_version is None:
        return
    floor = facts.floor(cell.cuda_version)
    for name in (*sorted(set(conditions.gpus)), *in_order(conditions.archs)):
        window = window_of(name, facts)
        if window is None and conditions.driver:
            text = f"which drivers know {name} is not known; {conditions.driver} is there"
            hint = "a Jetson's driver comes with its JetPack: ask its release notes"
            yield Finding("driver", Level.UNKNOWN, text, (DRIVERS,), hint)
        elif window:
            yield _in_window(window, floor, facts, conditions)


def _in_window(window: Window, floor: Floor | None, facts: Facts, conditions: Conditions) -> Finding:
    if floor and is_past(floor.driver, window.last):
        text = f"{window}; CUDA {floor.cuda} needs {floor.driver} or newer: no driver does both"
        source, hint = (*window.source, *floor.source), "take a build for an older CUDA"
        return Finding("driver", Level.IMPOSSIBLE, text, source, hint)
    brought = facts.toolkit(conditions.compat) if conditions.compat else None
    if brought and is_past(brought.driver, window.last):
        text = f"{window}; cuda-compat for CUDA {conditions.compat} is of {brought.driver}"
        return Finding("driver", Level.IMPOSSIBLE, text, (*window.source, *brought.source), "leave it out")
    if conditions.driver is None:
        return Finding("driver", Level.OK, str(window), window.source)
    return judged(conditions.driver, window)


def forward_compatibility(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """A CUDA compat package inside lets an older driver run a newer CUDA, on data-centre GPUs only.

    On any other GPU it fails with error 804; where the host's driver is newer, it hides that one: error 803.
    """
    if conditions.compat is None or not cell.needs_gpu:
        return
    name = f"cuda-compat for CUDA {conditions.compat}"
    its, here = facts.toolkit(conditions.compat), conditions.driver
    if others := [name for name in conditions.gpus if not _is_data_center(name, facts)]:
        text = f"{name} is for data-centre GPUs only, not for {', '.join(others)}: error 804"
        yield Finding(
            "forward-compatibility", Level.IMPOSSIBLE, text, (FORWARD,), "leave it out, update the driver"
        )
    elif its is None:
        text = f"which driver {name} stands in for is not known"
        yield Finding("forward-compatibility", Level.UNKNOWN, text, (FORWARD,))
    elif here and not older(here, its.driver):
        text = f"{name} ({its.driver}) hides the newer driver {here} of the host: error 803"
        yield Finding("forward-compatibility", Level.WARN, text, (SHADOWED, *its.source), "leave it out")
    elif here and _needs_newer(cell, facts, its):
        text = f"{name} is older than the CUDA {cell.cuda_version} that runs on it"
        yield Finding(
            "forward-compatibility", Level.IMPOSSIBLE, text, (FORWARD,), "take the one of the same CUDA"
        )
    else:
        gpus = ", ".join(conditions.gpus) or "data-centre GPUs"
        text = f"{name} lets an older driver run it, on {gpus}"
        hint = "mind error 803 where a newer driver comes to the host, and error 804 on other GPUs"
        yield Finding("forward-compatibility", Level.WARN, text, (FORWARD, *its.source), hint)


def _needs_newer(cell: Cell, facts: Facts, its: Floor) -> bool:
    floor = facts.floor(cell.cuda_version or "")
    return floor is not None and older(its.driver, floor.driver)


def _is_data_center(name: str, facts: Facts) -> bool:
    gpu = facts.gpu(name)
    return gpu is not None and gpu.data_center
