"""The further tags of cells: those of templates, and aliases; no two may be the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.matrix.fields import shown
from pipeline.matrix.tree import Problem

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from pipeline.matrix.schema import File
    from pipeline.matrix.tree import Tree
    from pipeline.model import Cell

MAX_TAG_LENGTH = 128
"""Characters of a tag, by the OCI distribution specification; templates allow only valid ones."""

_IMMUTABLE = re.compile(r"(.+)-[0-9a-f]{12}")
"""An immutable tag: the cell's id and the first digits of its build key."""


def taken(file: File, cells: Sequence[Cell], tree: Tree) -> Iterator[Problem]:
    """Aliases and templates whose tags clash with those of a cell, or with each other."""
    ids = frozenset(cell.id for cell in cells)
    for alias in file.publish.aliases:
        if _is_a_cells(alias, ids):
            place = tree.key(("publish", "aliases", alias))
            yield Problem(place, f"the alias {alias} is the id of a cell", "choose another name")
    first: dict[str, Cell] = {}
    words = [(cell, cell.words) for cell in cells] if file.publish.tags else []
    for index, template in enumerate(file.publish.tags):
        for cell, values in words:
            tag = template.format_map(values)
            if wrong := _wrong(tag, cell, first.setdefault(tag, cell), ids, file.publish.aliases):
                what = f"publish.tags: {shown(template)} makes {tag} for {cell.id}, {wrong[0]}"
                yield Problem(tree.place(("publish", "tags", index)), what, wrong[1])
                break


def _is_a_cells(tag: str, ids: Container[str]) -> bool:
    build = _IMMUTABLE.fullmatch(tag)
    return tag in ids or (build is not None and build[1] in ids)


def _wrong(
    tag: str, cell: Cell, first: Cell, ids: Container[str], aliases: Container[str]
) -> tuple[str, str] | None:
    """What is wrong with the tag of a cell, and the remedy; ``first`` is the first cell that has it."""
    if len(tag) > MAX_TAG_LENGTH:
        return f"which is longer than the {MAX_TAG_LENGTH} characters of a tag", "use fewer words"
    if _is_a_cells(tag, ids):
        return "which is the id of a cell", "every cell has that tag anyway: choose another"
    if tag in aliases:
        return "which is an alias", "rename one of the two"
    if first != cell:
        apart = [f"{{{word}}}" for word, value in cell.words.items() if value != first.words[word]]
        return f"and for {first.id}", f"tell them apart with one of {' '.join(apart)}"
    return None
