"""Globs over cell ids, with braces: what they match, and the message when they match nothing."""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import translate
from typing import TYPE_CHECKING

from pipeline.matrix.fields import shown
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.model import Pruned

_MAX_ALTERNATIVES = 256
_MAX_COMPARED = 500
"""How many ids are searched for the one that was probably meant; comparing texts is slow."""

_BRACES = re.compile(r"\{([^{}]*)\}")


def alternatives(pattern: str) -> list[str]:
    """``a-{b,c}`` as ``a-b`` and ``a-c``; braces may be nested. Raises ValueError for too many."""
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
        if len(done) + len(todo) > _MAX_ALTERNATIVES:
            raise ValueError(f"{shown(pattern)} expands to more than {_MAX_ALTERNATIVES} patterns")
    return done


def matching(pattern: str, ids: Iterable[str]) -> tuple[str, ...]:
    """The ids that a glob with braces matches, in their order. Raises ValueError as `alternatives` does."""
    matches = re.compile("|".join(map(translate, alternatives(pattern)))).match
    return tuple(cell for cell in ids if matches(cell))


def no_match(pattern: str, ids: Sequence[str], pruned: Iterable[Pruned] = ()) -> tuple[str, str]:
    """The message and the hint for a pattern that matches none of these ids."""
    left_out = {combination.cell.id: combination for combination in pruned}
    if matches := matching(pattern, left_out):
        kinds = sorted({"excluded" if left_out[cell].excluded else "impossible" for cell in matches})
        why = f"{matches[0]} ({'; '.join(left_out[matches[0]].reasons)}){more(matches, 1)}"
        what = f"{shown(pattern)} matches only cells that are {' or '.join(kinds)}: {why}"
        return what, f"correct the pattern or the axes; the cells: {listed(ids)}"
    similar = get_close_matches(pattern, ids[:_MAX_COMPARED], n=1, cutoff=0.6)
    meant = f"did you mean {similar[0]}? " if similar else ""
    return f"no cell matches {shown(pattern)}", f"{meant}the cells: {listed(ids)}"


def listed(ids: Sequence[str], most: int = 20) -> str:
    """The first ids on one line, and how many more there are."""
    return (" ".join(ids[:most]) or "none") + more(ids, most)


def more(ids: Sequence[str], most: int) -> str:
    """How many ids there are beyond the first."""
    return f" and {len(ids) - most} more" if len(ids) > most else ""


def chosen(ids: Sequence[str], patterns: Iterable[str], pruned: Iterable[Pruned] = ()) -> tuple[str, ...]:
    """The ids that any pattern matches, less those that a ``!pattern`` matches, in their own order.

    Without a pattern that selects, all of them. One text may hold several patterns, separated by blanks;
    their order does not matter. Raises UsageError if one matches nothing, or if nothing is left.
    """
    requested = dict.fromkeys(pattern for given in patterns for pattern in given.split())
    matches = {pattern: _matches(pattern.removeprefix("!"), ids, pruned) for pattern in requested}
    excluded = {cell for pattern, cells in matches.items() if pattern.startswith("!") for cell in cells}
    selecting = [cells for pattern, cells in matches.items() if not pattern.startswith("!")]
    included = {cell for cells in selecting for cell in cells} if selecting else set(ids)
    if requested and included <= excluded:
        what = f"no cell is left of this selection: {' '.join(requested)}"
        raise UsageError(what, hint="exclude fewer cells with !")
    return tuple(cell for cell in ids if cell in included and cell not in excluded)


def _matches(pattern: str, ids: Sequence[str], pruned: Iterable[Pruned]) -> tuple[str, ...]:
    try:
        matches = matching(pattern, ids)
    except ValueError as error:
        raise UsageError(str(error), hint="select with fewer braces") from error
    if not matches:
        what, hint = no_match(pattern, ids, pruned)
        raise UsageError(what, hint=hint)
    return matches
