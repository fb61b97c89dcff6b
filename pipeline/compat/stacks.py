"""Stacks: which PyTorch, CUDA and vLLM there are together; the newest vLLM, and what is nearest to a wish."""

from __future__ import annotations

from collections.abc import Mapping
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
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.compat.facts import Facts
    from pipeline.compat.rows import Artefact

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


@cache
def stacks(facts: Facts, platform: str = AMD64) -> tuple[Cell, ...]:
    """Every combination with every vLLM that pins it, and without one; on each Python that all parts have."""
    return tuple(_stacks(facts, platform))


def _stacks(facts: Facts, platform: str) -> Iterator[Cell]:
    for torch, cuda in builds(facts, platform):
        bare = Cell(torch.version, cuda, "3", None, platform)
        rows = pinned_by(facts, distribution(bare), torch.machine).get(torch.version, ())
        for vllm in (*reversed(rows), None):
            pythons = [python for python in torch.pythons if vllm is None or python in vllm.pythons]
            for python in sorted(pythons, key=version, reverse=True):
                yield Cell(torch.version, cuda, python, vllm.version if vllm else None, platform)


def nearest(
    wish: Cell, conditions: Conditions, facts: Facts | None = None, most: int = 3
) -> tuple[Cell, ...]:
    """The possible cells that differ least from this one: in the fewest axes, then by the fewest releases.

    They keep the platform, have vLLM where the wish has it, and CUDA where it has that. Each differs in
    another set of axes, or is a newer release where another is an older one, so that there is a choice.
    """
    asked = {axis: getattr(wish, axis) for axis in AXES}
    return nearest_to(asked, wish.platform, conditions, facts or shipped(), most)


def nearest_to(
    asked: Asked,
    platform: str,
    conditions: Conditions,
    facts: Facts,
    most: int = 3,
    *,
    on_default_index: bool = False,
) -> tuple[Cell, ...]:
    """The same for a wish that names some axes only: the others are free, and the newest comes first.

    What has all that is named is not near but the thing itself, and is left out. A vLLM from an
    index of its own is near with the libraries that it was built for; ``on_default_index`` leaves that out.
    """
    places = _places(facts, platform)
    wish = {axis: _place(str(value), axis, places[axis]) for axis, value in asked.items()}
    candidates = (cell for cell in stacks(facts, platform) if is_of_kind(cell, asked))
    chosen: dict[tuple[tuple[str, ...], bool], Cell] = {}
    for cell in sorted(candidates, key=lambda cell: _distance(_differing(asked, cell), wish, cell, facts)):
        other = other_vllm(cell, facts)
        if other and (on_default_index or other.build != cell.cuda):
            continue
        axes = _differing(asked, cell)
        way = axes, _is_newer(asked, cell)
        if not axes or way in chosen or any(set(known) < set(axes) for known, _ in chosen):
            continue
        if judge(cell, conditions, facts).level in {Level.OK, Level.WARN}:
            chosen[way] = cell
        if len(chosen) == most:
            break
    return tuple(chosen.values())


def _is_newer(asked: Asked, cell: Cell) -> bool:
    """Whether its vLLM, or else its PyTorch, is a newer release than the one that is asked for."""
    for release, wish in ((cell.vllm, asked.get("vllm")), (cell.torch, asked.get("torch"))):
        if release and wish and release != wish:
            return version(release) > version(wish)
    return False


Asked = Mapping[str, str | None]
"""The axes that are named, with their values; a vLLM of None is that there is to be none."""


def is_of_kind(cell: Cell, asked: Asked) -> bool:
    """Whether it has CUDA unless a CPU is named, and vLLM where that is named."""
    if cell.needs_gpu != (asked.get("cuda") != "cpu"):
        return False
    return "vllm" not in asked or bool(cell.vllm) == bool(asked["vllm"])


def _differing(asked: Asked, cell: Cell) -> tuple[str, ...]:
    return tuple(axis for axis, value in asked.items() if getattr(cell, axis) != value)


def changed(wish: Cell, other: Cell) -> tuple[str, ...]:
    """The axes in which two cells differ."""
    return tuple(axis for axis in AXES if getattr(wish, axis) != getattr(other, axis))


@cache
def _places(facts: Facts, platform: str) -> dict[str, dict[str, int]]:
    """The values of each axis with their places in its order; no vLLM stands behind every release."""
    values: dict[str, dict[str, None]] = {axis: {} for axis in AXES}
    for cell in stacks(facts, platform):
        for axis in AXES:
            values[axis].setdefault(str(getattr(cell, axis)))
    return {axis: _in_order(axis, known) for axis, known in values.items()}


def _in_order(axis: str, values: Iterable[str]) -> dict[str, int]:
    releases = [value for value in values if value != "None"]
    ordered = sorted(releases, key=version) if axis in _OF_RELEASES else sorted(releases)
    return {value: place for place, value in enumerate([*ordered, "None"])}


_OF_RELEASES = {"torch", "python", "vllm"}


def _place(value: str, axis: str, places: dict[str, int]) -> int:
    """Where a value stands in the order of its axis, or would stand if it were known."""
    if value in places:
        return places[value]
    known = [one for one in places if one != "None"]
    if axis in _OF_RELEASES:
        return sum(version(earlier) < version(value) for earlier in known)
    return sum(earlier < value for earlier in known)


def _distance(
    differing: Sequence[str], wish: Mapping[str, int], cell: Cell, facts: Facts
) -> tuple[int, int, int, tuple[int, ...]]:
    """How far a cell is: axes changed, releases between; then what is usual, and the newer one first."""
    places = _places(facts, cell.platform)
    here = {axis: places[axis][str(getattr(cell, axis))] for axis in AXES}
    torch = facts.artefact("torch", cell.torch, cell.machine)
    is_of_default = torch is not None and torch.variant == cell.cuda
    unusual = 4 * (not cell.vllm) + 2 * (other_vllm(cell, facts) is not None) + (not is_of_default)
    steps = sum(abs(wish[axis] - here[axis]) for axis in differing)
    return len(differing), steps, unusual, tuple(-here[axis] for axis in AXES)
