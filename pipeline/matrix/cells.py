"""The cells that a matrix asks for: its axes multiplied, less what it excludes, and those it includes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.matrix.fields import shown
from pipeline.matrix.schema import AUTO, AXES, NONE, PYTHON_OF
from pipeline.matrix.tree import Problem
from pipeline.model import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.compat.facts import Facts
    from pipeline.matrix.schema import File
    from pipeline.matrix.tree import Loc, Place, Tree

MOST = 16_384
"""Cells that one matrix may ask for."""


@dataclass(frozen=True)
class Written:
    """A cell that the file asks for, and where each of its axes is written.

    ``vllm`` is what is written for it: where that is ``auto``, the cell has the release that was found, or
    ``auto`` still where none was. ``excluded`` is the reason of the exclude that takes it away.
    """

    cell: Cell
    loc: Loc
    vllm: str
    axes: tuple[tuple[str, Loc], ...] = ()
    excluded: str = ""

    @property
    def is_explicit(self) -> bool:
        """Whether it is written out, rather than a combination of the axes."""
        return self.loc[0] == "include"

    def at(self, axis: str) -> Loc:
        """The way to the value of this axis."""
        return dict(self.axes).get(axis, self.loc)


def expand(file: File, tree: Tree, facts: Facts) -> tuple[tuple[Written, ...], list[Problem]]:
    """All that the file asks for, each once and in its order, and what is wrong with how it is written."""
    problems = [*_repeated_values(file, tree), *_missing_axes(file, tree)]
    count = math.prod(len(set(values)) for values in _axes(file).values()) + len(file.include)
    if count > MOST:
        what = f"the axes make {count} cells, and {MOST} is the most"
        return (), [*problems, Problem(first_axis(file, tree), what, "list fewer versions, or use include")]
    full = () if _missing_axes(file, tree) else tuple(_product(file, facts))
    full, vain = _less_excluded(file, full, tree)
    cells, repeated = _each_once((*full, *_included(file, facts)), tree)
    return cells, [*problems, *vain, *repeated]


def _axes(file: File) -> dict[str, tuple[str, ...]]:
    """The axes that are written at the top, in their order."""
    return {axis: values for axis in AXES if (values := getattr(file, axis)) is not None}


def first_axis(file: File, tree: Tree) -> Place:
    """Where the first of the axes stands; the top of the file where there is none."""
    return tree.key((next(iter(_axes(file)), ""),))


def _missing_axes(file: File, tree: Tree) -> list[Problem]:
    """Axes without which the others make no cell; vllm may be left out, platform has a default."""
    axes = _axes(file)
    missing = [axis for axis in ("torch", "cuda", "python") if axis not in axes]
    if not axes or not missing:
        return []
    what = f"the axes make no cell without {' and '.join(missing)}"
    return [Problem(first_axis(file, tree), what, f"add {missing[0]}: […], or write the cells under include")]


def _repeated_values(file: File, tree: Tree) -> Iterator[Problem]:
    lists: dict[Loc, Sequence[str]] = {(axis,): values for axis, values in _axes(file).items()}
    lists["gpu", "archs"] = file.gpu.archs if file.gpu else ()
    lists["publish", "tags"] = file.publish.tags
    for loc, values in lists.items():
        first: dict[str, int] = {}
        for index, value in enumerate(values):
            if first.setdefault(value, index) != index:
                line = tree.place((*loc, first[value])).line
                what = f"{'.'.join(map(str, loc))}: {shown(value)} is listed twice, first on line {line}"
                yield Problem(tree.place((*loc, index)), what, "remove one of the two")


# -- the product, and what is included --------------------------------------------------------------


def _product(file: File, facts: Facts) -> Iterator[Written]:
    axes = _axes(file)
    numbered = [
        [(axis, value, values.index(value)) for value in dict.fromkeys(values)]
        for axis, values in axes.items()
    ]
    for row in product(*numbered) if axes else ():
        where: tuple[tuple[str, Loc], ...] = tuple((axis, (axis, index)) for axis, _, index in row)
        yield _written({axis: value for axis, value, _ in row}, where[0][1], where, facts)


def _included(file: File, facts: Facts) -> Iterator[Written]:
    for index, entry in enumerate(file.include):
        loc: Loc = ("include", index)
        yield _written(entry.model_dump(), loc, tuple((axis, (*loc, axis)) for axis in AXES), facts)


def _written(values: Mapping[str, str], loc: Loc, axes: tuple[tuple[str, Loc], ...], facts: Facts) -> Written:
    vllm = values.get("vllm", NONE)
    platform = values.get("platform", "linux/amd64")
    cell = Cell(values["torch"], values["cuda"], values["python"], None if vllm == NONE else vllm, platform)
    if vllm == AUTO:
        cell = replace(cell, vllm=compat.newest_vllm(cell, facts) or AUTO)
    return Written(cell, loc, vllm, axes)


def _each_once(asked: Iterable[Written], tree: Tree) -> tuple[tuple[Written, ...], list[Problem]]:
    """Each cell once, and those that are written twice.

    What ``auto`` finds changes with what is released, so it is no mistake where that is written already.
    """
    cells: dict[str, Written] = {}
    problems: list[Problem] = []
    for one in asked:
        first = cells.get(one.cell.id)
        if first is None or (first.excluded and not one.excluded):
            cells.pop(one.cell.id, None)  # so that it comes where it is included
            cells[one.cell.id] = one
        elif one.excluded or one.vllm == AUTO:
            continue
        elif first.vllm == AUTO:
            cells[one.cell.id] = one
        else:
            what = f"the cell {one.cell.id} is there already, from line {tree.place(first.loc).line}"
            problems.append(Problem(tree.place(one.loc), what, "remove one of the two"))
    return tuple(cells.values()), problems


# -- what is excluded -------------------------------------------------------------------------------


def _less_excluded(
    file: File, full: tuple[Written, ...], tree: Tree
) -> tuple[tuple[Written, ...], list[Problem]]:
    """The product, with the reason at each cell that an exclude takes away; and excludes that take none."""
    excludes = [(entry.axes, entry.reason) for entry in file.exclude]
    done: set[int] = set()
    left = []
    for one in full if excludes else ():
        mine = [index for index, (axes, _) in enumerate(excludes) if _agrees(one, axes)]
        done.update(mine)
        left.append(replace(one, excluded=excludes[mine[0]][1]) if mine else one)
    vain = [
        _vain_exclude(axes, tree.place(("exclude", index)))
        for index, (axes, _) in enumerate(excludes)
        if index not in done
    ]
    return tuple(left) if excludes else full, vain


def _agrees(one: Written, axes: Mapping[str, str]) -> bool:
    """Whether a cell has these values; ``auto`` stands for itself and for what it found."""
    return bool(axes) and all(
        value in {one.vllm, one.cell.vllm} if axis == "vllm" else getattr(one.cell, axis) == value
        for axis, value in axes.items()
    )


def _vain_exclude(axes: Mapping[str, str], place: Place) -> Problem:
    if not axes:
        return Problem(place, "this exclude names no axis", f"name at least one of {', '.join(AXES)}")
    named = ", ".join(f"{axis} {value}" for axis, value in axes.items())
    return Problem(place, f"this exclude matches no cell of the axes ({named})", "correct or remove it")


# -- what the file says elsewhere -------------------------------------------------------------------


def wrong_pythons(file: File, cells: Iterable[Written], tree: Tree) -> Iterator[Problem]:
    """A distribution brings one Python; another one needs a base image that has it."""
    if file.base.image:
        return
    suite, brought = file.base.suite, PYTHON_OF[file.base.suite]
    other = next((name for name, version in PYTHON_OF.items() if version != brought), suite)
    wrong = {one.at("python"): one.cell.python for one in cells if one.cell.python != brought}
    for loc, python in wrong.items():
        remedy = f"base.suite: {other}, or " if PYTHON_OF[other] == python else ""
        what = f"python: {shown(python)}, but the base {suite} brings Python {brought}"
        yield Problem(tree.place(loc), what, f"use {remedy}base.image: an image by digest that has {python}")


def idle_archs(file: File, cells: Iterable[Written], tree: Tree) -> Iterator[Problem]:
    """Architectures are asked of CUDA cells, so they say nothing where none is asked for."""
    if file.gpu and not any(one.cell.needs_gpu for one in cells):
        what = "gpu.archs is asked of CUDA cells, and the matrix has none"
        yield Problem(tree.key(("gpu",)), what, "remove it, or add a CUDA to the axes or under include")
