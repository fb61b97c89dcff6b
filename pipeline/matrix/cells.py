"""Globs on cell ids, and the cells that the axes, ``exclude`` and ``include`` of a matrix make."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.matrix.shape import AXES, PYTHON_OF, shown
from pipeline.matrix.tree import TOP, Problem
from pipeline.nouns import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.matrix.shape import File
    from pipeline.matrix.tree import Loc, Place, Tree

MOST = 4096
"""Cells that one matrix may have."""

_MOST_ALTERNATIVES = 256
_BRACES = re.compile(r"\{([^{}]*)\}")


# -- globs ------------------------------------------------------------------------------------------


def alternatives(pattern: str) -> list[str]:
    """``a-{b,c}`` as ``a-b`` and ``a-c``; braces may be nested. Raises ValueError where it makes too many."""
    done: list[str] = []
    todo = [pattern]
    while todo:
        text = todo.pop()
        braces = _BRACES.search(text)
        if braces is None:
            done.append(text)
        else:
            before, after = text[: braces.start()], text[braces.end() :]
            todo += [f"{before}{choice}{after}" for choice in reversed(braces[1].split(","))]
        if len(done) + len(todo) > _MOST_ALTERNATIVES:
            raise ValueError(f"{shown(pattern)} stands for more than {_MOST_ALTERNATIVES} patterns")
    return done


def matching(pattern: str, ids: Iterable[str]) -> tuple[str, ...]:
    """The ids that a glob with braces matches, in their order. Raises ValueError as `alternatives` does."""
    globs = alternatives(pattern)
    return tuple(cell for cell in ids if any(fnmatchcase(cell, glob) for glob in globs))


def no_match(pattern: str, ids: Sequence[str]) -> tuple[str, str]:
    """What to say, and the hint, where a pattern matches no cell."""
    near = get_close_matches(pattern, ids, n=1, cutoff=0.6)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"no cell matches {shown(pattern)}", f"{meant}the cells: {listed(ids)}"


def listed(ids: Sequence[str], most: int = 20) -> str:
    """Ids in a row, and how many more there are."""
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return (" ".join(ids[:most]) or "none") + more


def chosen(ids: Sequence[str], patterns: Iterable[str]) -> tuple[str, ...]:
    """The ids that any pattern matches, in their own order; all of them where there is no pattern.

    A pattern may hold several, separated by blanks. Raises UsageError where one matches nothing.
    """
    wanted = [pattern for given in patterns for pattern in given.split()]
    found: set[str] = set()
    for pattern in wanted:
        try:
            matches = matching(pattern, ids)
        except ValueError as error:
            raise UsageError(str(error), hint="select with fewer braces") from error
        if not matches:
            what, hint = no_match(pattern, ids)
            raise UsageError(what, hint=hint)
        found.update(matches)
    return tuple(cell for cell in ids if cell in found or not wanted)


# -- expansion --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """A cell, and where in the file each of its axes is written."""

    cell: Cell
    loc: Loc
    axes: tuple[tuple[str, Loc], ...] = ()

    def at(self, axis: str) -> Loc:
        """The way to the value of this axis."""
        return dict(self.axes).get(axis, self.loc)


def expand(file: File, tree: Tree) -> tuple[tuple[Written, ...], list[Problem]]:
    """The cells of the file, each once and in its order, and what is wrong with how they are written."""
    problems = [*_repeated_values(file, tree), *_missing_axes(file, tree)]
    count = math.prod(len(set(values)) for values in _axes(file).values()) + len(file.include)
    if count > MOST:
        what = f"the axes make {count} cells, and {MOST} is the most"
        return (), [*problems, Problem(_first_axis(file, tree), what, "list fewer versions, or use include")]
    full = () if _missing_axes(file, tree) else _product(file)
    problems += _vain_excludes(file, full, tree)
    kept = [one for one in full if not any(_agrees(one.cell, exclude.axes) for exclude in file.exclude)]
    cells: dict[str, Written] = {}
    for one in (*kept, *_included(file)):
        first = cells.setdefault(one.cell.id, one)
        if first is not one:
            what = f"the cell {one.cell.id} is there already, from line {tree.place(first.loc).line}"
            problems.append(Problem(tree.place(one.loc), what, "remove one of the two"))
    if not cells and not problems:
        problems.append(Problem(TOP, "no cell is left", "give each axis a version, or include a cell"))
    return tuple(cells.values()), problems


def _axes(file: File) -> dict[str, tuple[str, ...]]:
    """The axes that are written at the top, in their order."""
    return {axis: values for axis in AXES if (values := getattr(file, axis)) is not None}


def _first_axis(file: File, tree: Tree) -> Place:
    return tree.key((next(iter(_axes(file)), ""),))


def _missing_axes(file: File, tree: Tree) -> list[Problem]:
    """Axes without which the others make no cell; vllm may be left out, platform has a default."""
    axes = _axes(file)
    missing = [axis for axis in ("torch", "cuda", "python") if axis not in axes]
    if not axes or not missing:
        return []
    what = f"the axes make no cell without {' and '.join(missing)}"
    return [
        Problem(_first_axis(file, tree), what, f"add {missing[0]}: […], or write the cells under include")
    ]


def _repeated_values(file: File, tree: Tree) -> Iterator[Problem]:
    for axis, values in _axes(file).items():
        for index, value in enumerate(values):
            first = values.index(value)
            if first < index:
                line = tree.place((axis, first)).line
                what = f"{axis}: {shown(value)} is listed twice, first on line {line}"
                yield Problem(
                    tree.place((axis, index)), f"{what}: two cells with one id", "remove one of the two"
                )


def _product(file: File) -> tuple[Written, ...]:
    axes = _axes(file)
    if not axes:
        return ()
    numbered = [
        [(axis, value, values.index(value)) for value in dict.fromkeys(values)]
        for axis, values in axes.items()
    ]
    return tuple(_of_product(row) for row in product(*numbered))


def _of_product(row: tuple[tuple[str, str, int], ...]) -> Written:
    values = {axis: value for axis, value, _ in row}
    where = tuple((axis, (axis, index)) for axis, _, index in row)
    return Written(_cell(values), where[0][1], where)


def _included(file: File) -> Iterator[Written]:
    for index, entry in enumerate(file.include):
        loc: Loc = ("include", index)
        yield Written(_cell(entry.model_dump()), loc, tuple((axis, (*loc, axis)) for axis in AXES))


def _cell(values: dict[str, str]) -> Cell:
    platform = values.get("platform", "linux/amd64")
    return Cell(values["torch"], values["cuda"], values["python"], values.get("vllm"), platform)


def _agrees(cell: Cell, axes: dict[str, str]) -> bool:
    return bool(axes) and all(getattr(cell, axis) == value for axis, value in axes.items())


def _vain_excludes(file: File, full: Sequence[Written], tree: Tree) -> Iterator[Problem]:
    for index, exclude in enumerate(file.exclude):
        place = tree.place(("exclude", index))
        if not exclude.axes:
            yield Problem(place, "this exclude names no axis", f"name at least one of {', '.join(AXES)}")
        elif not any(_agrees(one.cell, exclude.axes) for one in full):
            named = ", ".join(f"{axis} {value}" for axis, value in exclude.axes.items())
            yield Problem(
                place, f"this exclude matches no cell of the axes ({named})", "correct or remove it"
            )


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
