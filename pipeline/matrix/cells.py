"""The cells that a matrix asks for: its axes multiplied, less what it excludes, and those it includes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.matrix.fields import shown
from pipeline.matrix.schema import AUTO, AXES, NONE
from pipeline.matrix.tree import Problem
from pipeline.model import Cell
from pipeline.model.platforms import AMD64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.compat.facts import Facts
    from pipeline.matrix.schema import File
    from pipeline.matrix.tree import Loc, Place, Tree

MAX_CELLS = 16_384
"""How many cells one matrix may have."""


@dataclass(frozen=True)
class RequestedCell:
    """A cell that the file asks for, and where each of its axes is written.

    ``vllm`` is the value in the file: for ``auto`` the cell has the release that was found, or still ``auto``
    if there is none. ``excluded`` is the reason of the exclude that removes it.
    """

    cell: Cell
    loc: Loc
    vllm: str
    axes: tuple[tuple[str, Loc], ...] = ()
    excluded: str = ""

    @property
    def is_explicit(self) -> bool:
        """Whether it is listed under ``include``, rather than a combination of the axes."""
        return self.loc[0] == "include"

    def at(self, axis: str) -> Loc:
        """The way to the value of this axis."""
        return dict(self.axes).get(axis, self.loc)


def expand(file: File, tree: Tree, facts: Facts) -> tuple[tuple[RequestedCell, ...], list[Problem]]:
    """Every cell that the file asks for, once and in the order of the file, and the problems with them."""
    problems = [*_repeated_values(file, tree), *_missing_axes(file, tree)]
    count = math.prod(len(set(values)) for values in _axes(file).values()) + len(file.include)
    if count > MAX_CELLS:
        what = f"the axes make {count} cells, and {MAX_CELLS} is the most"
        return (), [*problems, Problem(first_axis(file, tree), what, "list fewer versions, or use include")]
    full = () if _missing_axes(file, tree) else tuple(_product(file, facts))
    full, unused = _less_excluded(file, full, tree)
    cells, repeated = _each_once((*full, *_included(file, facts)), tree)
    return cells, [*problems, *unused, *repeated]


def _axes(file: File) -> dict[str, tuple[str, ...]]:
    """The axes that the file gives, in their order."""
    return {axis: values for axis in AXES if (values := getattr(file, axis)) is not None}


def first_axis(file: File, tree: Tree) -> Place:
    """The place of the first axis; the top of the file if there is none."""
    return tree.key((next(iter(_axes(file)), ""),))


def _missing_axes(file: File, tree: Tree) -> list[Problem]:
    """Axes that are missing; vllm may be left out, and platform has a default."""
    axes = _axes(file)
    missing = [axis for axis in ("torch", "cuda", "python") if axis not in axes]
    if not axes or not missing:
        return []
    what = f"the axes make no cell without {' and '.join(missing)}"
    return [Problem(first_axis(file, tree), what, f"add {missing[0]}: […], or write the cells under include")]


def _repeated_values(file: File, tree: Tree) -> Iterator[Problem]:
    lists: dict[Loc, Sequence[str]] = {(axis,): values for axis, values in _axes(file).items()}
    lists |= {("gpu", index, "archs"): entry.archs for index, entry in enumerate(file.gpu)}
    lists["publish", "tags"] = file.publish.tags
    for loc, values in lists.items():
        first: dict[str, int] = {}
        for index, value in enumerate(values):
            if first.setdefault(value, index) != index:
                line = tree.place((*loc, first[value])).line
                name = ".".join(part for part in loc if isinstance(part, str))
                what = f"{name}: {shown(value)} is listed twice, first on line {line}"
                yield Problem(tree.place((*loc, index)), what, "remove one of the two")


# -- the product, and what is included --------------------------------------------------------------


def _product(file: File, facts: Facts) -> Iterator[RequestedCell]:
    axes = _axes(file)
    numbered = [
        [(axis, value, values.index(value)) for value in dict.fromkeys(values)]
        for axis, values in axes.items()
    ]
    for row in product(*numbered) if axes else ():
        where: tuple[tuple[str, Loc], ...] = tuple((axis, (axis, index)) for axis, _, index in row)
        yield _requested({axis: value for axis, value, _ in row}, where[0][1], where, facts)


def _included(file: File, facts: Facts) -> Iterator[RequestedCell]:
    for index, entry in enumerate(file.include):
        loc: Loc = ("include", index)
        yield _requested(entry.model_dump(), loc, tuple((axis, (*loc, axis)) for axis in AXES), facts)


def _requested(
    values: Mapping[str, str], loc: Loc, axes: tuple[tuple[str, Loc], ...], facts: Facts
) -> RequestedCell:
    vllm = values.get("vllm", NONE)
    platform = values.get("platform", AMD64)
    cell = Cell(values["torch"], values["cuda"], values["python"], None if vllm == NONE else vllm, platform)
    if vllm == AUTO:
        cell = replace(cell, vllm=compat.newest_vllm(cell, facts) or AUTO)
    return RequestedCell(cell, loc, vllm, axes)


def _each_once(
    requests: Iterable[RequestedCell], tree: Tree
) -> tuple[tuple[RequestedCell, ...], list[Problem]]:
    """Each cell once, and a problem for each that is listed twice.

    What ``auto`` finds changes with each release, so it is no mistake if that cell is listed already.
    """
    cells: dict[str, RequestedCell] = {}
    problems: list[Problem] = []
    for request in requests:
        first = cells.get(request.cell.id)
        if first is None or (first.excluded and not request.excluded):
            cells.pop(request.cell.id, None)  # so that it takes the position of its include
            cells[request.cell.id] = request
        elif request.excluded or request.vllm == AUTO:
            continue
        elif first.vllm == AUTO:
            cells[request.cell.id] = request
        else:
            what = f"the cell {request.cell.id} is already there, from line {tree.place(first.loc).line}"
            problems.append(Problem(tree.place(request.loc), what, "remove one of the two"))
    return tuple(cells.values()), problems


# -- what is excluded -------------------------------------------------------------------------------


def _less_excluded(
    file: File, full: tuple[RequestedCell, ...], tree: Tree
) -> tuple[tuple[RequestedCell, ...], list[Problem]]:
    """The product, each excluded cell with its reason; and a problem for each exclude that matches none."""
    excludes = [(entry.axes, entry.reason) for entry in file.exclude]
    used: set[int] = set()
    marked = []
    for request in full if excludes else ():
        matching = [index for index, (axes, _) in enumerate(excludes) if _agrees(request, axes)]
        used.update(matching)
        marked.append(replace(request, excluded=excludes[matching[0]][1]) if matching else request)
    unused = [
        _unused_exclude(axes, tree.place(("exclude", index)))
        for index, (axes, _) in enumerate(excludes)
        if index not in used
    ]
    return tuple(marked) if excludes else full, unused


def _agrees(request: RequestedCell, axes: Mapping[str, str]) -> bool:
    """Whether a cell has these values; ``auto`` matches itself and the release that it found."""
    return bool(axes) and all(
        value in {request.vllm, request.cell.vllm} if axis == "vllm" else getattr(request.cell, axis) == value
        for axis, value in axes.items()
    )


def _unused_exclude(axes: Mapping[str, str], place: Place) -> Problem:
    if not axes:
        return Problem(place, "this exclude names no axis", f"name at least one of {', '.join(AXES)}")
    named = ", ".join(f"{axis} {value}" for axis, value in axes.items())
    return Problem(place, f"this exclude matches no cell of the axes ({named})", "correct or remove it")


# -- axes against the rest of the file -------------------------------------------------------------------


def unused_archs(file: File, cells: Iterable[RequestedCell], tree: Tree) -> Iterator[Problem]:
    """``gpu`` applies to CUDA cells only, so without one it has no effect."""
    if file.gpu and not any(request.cell.needs_gpu for request in cells):
        named = (key for entry in file.gpu for key in ("archs", "memory") if key in entry.model_fields_set)
        what = f"gpu.{next(named, 'archs')} applies to CUDA cells only, and the matrix has none"
        yield Problem(tree.key(("gpu",)), what, "remove it, or add a CUDA to the axes or under include")
