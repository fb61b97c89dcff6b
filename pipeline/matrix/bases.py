"""The base of each cell: the one entry of ``base:`` that is for it, and what is wrong where it is not one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.matrix.fields import shown
from pipeline.matrix.globs import more
from pipeline.matrix.tree import Problem
from pipeline.model.systems import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.matrix.cell_rules import BaseImage
    from pipeline.matrix.cells import RequestedCell
    from pipeline.matrix.rules import Matches
    from pipeline.matrix.schema import File
    from pipeline.matrix.tree import Loc, Tree
    from pipeline.model import Cell

_ONE_EACH = "give each cell one: an entry may name `python:`, `cuda:` and `cells:`"


def bases_of(file: File, cell: Cell, matches: Matches) -> tuple[int, ...]:
    """The entries that are for this cell, by their index: those that agree with all that they name.

    One with a suite is for the Python that it brings, whether it names that or not.
    """
    return tuple(
        index
        for index, entry in enumerate(file.base)
        if cell.python in _pythons(entry, cell.python)
        and (entry.cuda is None or cell.cuda in entry.cuda)
        and cell.id in matches.get(("base", index, "cells"), ())
    )


def _pythons(entry: BaseImage, asked: str) -> frozenset[str]:
    """The Pythons that an entry is for; of an image that names none, whichever is asked."""
    named = frozenset(entry.python or (asked,))
    return named if entry.image else named & {SYSTEMS[entry.suite].python}


def _is_possible(entry: BaseImage) -> bool:
    """Whether any cell could have it: a suite is for one Python alone, and may name another."""
    return bool(_pythons(entry, SYSTEMS[entry.suite].python))


# -- what is wrong with an entry --------------------------------------------------------------------


def wrong_entries(file: File, tree: Tree) -> Iterator[Problem]:
    """Entries whose keys do not go together, and packages for the system that nothing could install."""
    for index, entry in enumerate(file.base):
        yield from _wrong_keys(entry, ("base", index), tree)
        if entry.image and file.system:
            what = f"system: {', '.join(file.system)} cannot be installed into {entry.image}"
            hint = "builds have no network: put them into that image, or have the base made here"
            yield Problem(tree.key(("system",)), what, hint)


def _wrong_keys(entry: BaseImage, loc: Loc, tree: Tree) -> Iterator[Problem]:
    if entry.image is None and entry.refresh is None:
        hint = 'add `refresh: "2026-11-20"`, the day whose packages the base takes'
        yield Problem(tree.place(loc), "base.refresh is missing", hint)
    if entry.image is None and "glibc" in entry.model_fields_set:
        what = "base.glibc is set without base.image"
        yield Problem(tree.place((*loc, "glibc")), what, "the suite determines it: remove it")
    if entry.image is not None and {"suite", "refresh"} & entry.model_fields_set:
        what = "base.image is set together with suite or refresh"
        yield Problem(tree.place((*loc, "image")), what, "an image needs neither: remove them")
    for index, python in enumerate(entry.python or ()):
        if not entry.image and python != SYSTEMS[entry.suite].python:
            brought = SYSTEMS[entry.suite].python
            what = f"base.python: {shown(python)}, but {entry.suite} brings Python {brought}"
            hint = f"remove it: a base with a suite is for Python {brought} alone"
            yield Problem(tree.place((*loc, "python", index)), what, hint)


# -- what is wrong for a cell -----------------------------------------------------------------------


def wrong_counts(
    file: File, requests: Sequence[RequestedCell], cells: frozenset[str], matches: Matches, tree: Tree
) -> Iterator[Problem]:
    """Of the requested cells those of these ids need one base each; and a base is for one of them, at least.

    A cell that is impossible needs none, but what is for it alone may stay. Where an entry contradicts
    itself, which cells it was meant for is unknown, and so nothing is said.
    """
    if not all(_is_possible(entry) for entry in file.base):
        return
    bases = {request.cell.id: bases_of(file, request.cell, matches) for request in requests}
    there = [request for request in requests if request.cell.id in cells]
    yield from _missing(file, [request for request in there if not bases[request.cell.id]], tree)
    yield from _several({cell: indexes for cell, indexes in bases.items() if cell in cells}, tree)
    used = {index for indexes in bases.values() for index in indexes}
    for index in range(len(file.base)):
        has_ids = bool(matches.get(("base", index, "cells")))  # else that glob is a problem of its own
        if len(file.base) > 1 and index not in used and has_ids:
            what, hint = "this base is for no cell", "correct what it names, or remove it"
            yield Problem(tree.place(("base", index)), what, hint)


def _missing(file: File, requests: Sequence[RequestedCell], tree: Tree) -> Iterator[Problem]:
    """A problem for each Python that no base brings; one for all cells that lack a base otherwise."""
    others = []
    for request in requests:
        python = request.cell.python
        if any(_pythons(entry, python) >= {python} for entry in file.base):
            others.append(request)
        else:
            what = f"python: {shown(python)}, but {_brought(file)}"
            yield Problem(tree.place(request.at("python")), what, _remedy(python))
    if others:
        ids = [request.cell.id for request in others]
        what = f"no base is for {ids[0]}{more(ids, 1)}"
        yield Problem(tree.place(others[0].loc), what, _ONE_EACH)


def _brought(file: File) -> str:
    """Which Python each base brings, in words."""
    parts = [
        f"{shown(entry.image)} is for {', '.join(entry.python or ())}"
        if entry.image
        else f"the base {entry.suite} brings Python {SYSTEMS[entry.suite].python}"
        for entry in file.base
    ]
    return "; ".join(dict.fromkeys(parts))


def _remedy(python: str) -> str:
    """The base that brings this Python, as it is written; else an image."""
    suite = next((name for name, system in SYSTEMS.items() if system.python == python), None)
    image = f"an image by digest that has {python}"
    if suite is None:
        return f"add {image} to the list `base:`"
    return f'use base.suite: {suite}, or add {{suite: {suite}, refresh: "…"}} to the list `base:`, or {image}'


def _several(bases: Mapping[str, tuple[int, ...]], tree: Tree) -> Iterator[Problem]:
    """A problem for each two entries that are for one cell, at the second of them."""
    clashes: dict[tuple[int, int], list[str]] = {}
    for cell, indexes in bases.items():
        if len(indexes) > 1:
            clashes.setdefault((indexes[0], indexes[1]), []).append(cell)
    for (first, second), ids in clashes.items():
        line = tree.place(("base", first)).line
        what = f"this base and that of line {line} are both for {ids[0]}{more(ids, 1)}"
        yield Problem(tree.place(("base", second)), what, _ONE_EACH)
