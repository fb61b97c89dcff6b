"""Stacks: which PyTorch, CUDA and vLLM there are together; the newest vLLM, and what is nearest to a wish."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from pipeline.compat.facts import shipped, version
from pipeline.compat.judge import judge
from pipeline.compat.rules.other_builds import other_vllm
from pipeline.compat.rules.releases import distribution, pinned_by
from pipeline.model import Cell, Conditions, Level
from pipeline.model.platforms import AMD64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.facts import Artefact, Facts

AXES = ("torch", "cuda", "python", "vllm", "platform")


def newest_vllm(cell: Cell, facts: Facts | None = None) -> str | None:
    """The newest release of vLLM that pins this cell's PyTorch and is compiled for its CUDA and Python.

    None where there is none that was read: a build on vLLM's own index is asked for by its release alone.
    The cell's own ``vllm`` is not looked at.
    """
    available = facts or shipped()
    rows = pinned_by(available, distribution(cell), cell.machine).get(cell.torch, ())
    for row in reversed(rows):
        wish = replace(cell, vllm=row.version)
        is_read = other_vllm(wish, available) is None
        if is_read and not judge(wish, Conditions(), available).at(Level.IMPOSSIBLE):
            return row.version
    return None


def builds(facts: Facts, platform: str = AMD64) -> Iterator[tuple[Artefact, str]]:
    """Every PyTorch that was read, newest first, with each CUDA that it is said to be built for."""
    machine = Cell("0", "cpu", "3", None, platform).machine
    for torch in reversed(facts.releases("torch", machine)):
        listed = facts.variants_of(torch.version)
        others = listed.variants if listed else ()
        for cuda in dict.fromkeys((torch.variant, *reversed(others))):
            yield torch, cuda


def stacks(facts: Facts, platform: str = AMD64) -> Iterator[Cell]:
    """Every combination with every vLLM that pins it, and without one; on each Python that all parts have."""
    for torch, cuda in builds(facts, platform):
        bare = Cell(torch.version, cuda, "3", None, platform)
        rows = pinned_by(facts, distribution(bare), torch.machine).get(torch.version, ())
        for vllm in (*reversed(rows), None):
            pythons = [python for python in torch.pythons if vllm is None or python in vllm.pythons]
            for python in sorted(pythons, key=version, reverse=True):
                yield replace(bare, python=python, vllm=vllm.version if vllm else None)


def nearest(
    wish: Cell, conditions: Conditions, facts: Facts | None = None, most: int = 3
) -> tuple[Cell, ...]:
    """The possible cells that differ least from this one: in the fewest axes, then by the fewest releases.

    They keep the platform, have vLLM where the wish has it, and CUDA where it has that. Each differs in
    another set of axes, so that there is a choice.
    """
    available = facts or shipped()
    places = _places(available, wish.platform)
    kind = (bool(wish.vllm), wish.needs_gpu)
    candidates = [
        cell for cell in stacks(available, wish.platform) if (bool(cell.vllm), cell.needs_gpu) == kind
    ]
    chosen: dict[tuple[str, ...], Cell] = {}
    for cell in sorted(candidates, key=lambda cell: _distance(wish, cell, places)):
        axes = changed(wish, cell)
        if axes in chosen or any(set(known_axes) <= set(axes) for known_axes in chosen):
            continue
        if judge(cell, conditions, available).level in {Level.OK, Level.WARN}:
            chosen[axes] = cell
        if len(chosen) == most:
            break
    return tuple(chosen.values())


def changed(wish: Cell, other: Cell) -> tuple[str, ...]:
    """The axes in which two cells differ."""
    return tuple(axis for axis in AXES if getattr(wish, axis) != getattr(other, axis))


@cache
def _places(facts: Facts, platform: str) -> dict[str, list[str]]:
    """The values of each axis in their order."""
    changes: dict[str, dict[str, None]] = {axis: {} for axis in AXES}
    for cell in stacks(facts, platform):
        for axis in AXES:
            changes[axis].setdefault(str(getattr(cell, axis)))
    ordered = {
        axis: sorted(values, key=lambda value: (value == "None", value)) for axis, values in changes.items()
    }
    for axis in ("torch", "python", "vllm"):
        ordered[axis] = sorted((v for v in changes[axis] if v != "None"), key=version)
    return ordered


def _distance(wish: Cell, other: Cell, places: dict[str, list[str]]) -> tuple[int, int, tuple[int, ...]]:
    """How far another cell is: axes changed, releases between, and the newer one first."""
    steps = [abs(_at(wish, axis, places) - _at(other, axis, places)) for axis in changed(wish, other)]
    newer_first = tuple(-_at(other, axis, places) for axis in AXES)
    return len(steps), sum(steps), newer_first


def _at(cell: Cell, axis: str, places: dict[str, list[str]]) -> int:
    value = str(getattr(cell, axis))
    row = places[axis]
    if value in row:
        return row.index(value)
    if axis in {"torch", "vllm", "python"} and value != "None":
        return sum(version(earlier) < version(value) for earlier in row)
    return sum(earlier < value for earlier in row)
