"""Globs over cell ids, with braces: what they match, and what to say where that is nothing."""

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

_MOST_ALTERNATIVES = 256
_MOST_COMPARED = 500
"""Ids among which one is looked for that was probably meant; comparing texts is slow."""

_BRACES = re.compile(r"\{([^{}]*)\}")


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
    matches = re.compile("|".join(map(translate, alternatives(pattern)))).match
    return tuple(cell for cell in ids if matches(cell))


def no_match(pattern: str, ids: Sequence[str], pruned: Iterable[Pruned] = ()) -> tuple[str, str]:
    """What to say, and the hint, where a pattern matches none of these ids."""
    left_out = {one.cell.id: one for one in pruned}
    if found := matching(pattern, left_out):
        kinds = sorted({"excluded" if left_out[cell].excluded else "impossible" for cell in found})
        why = f"{found[0]} ({'; '.join(left_out[found[0]].reasons)}){more(found, 1)}"
        what = f"{shown(pattern)} matches only cells that are {' or '.join(kinds)}: {why}"
        return what, f"correct the pattern or the axes; the cells: {listed(ids)}"
    near = get_close_matches(pattern, ids[:_MOST_COMPARED], n=1, cutoff=0.6)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"no cell matches {shown(pattern)}", f"{meant}the cells: {listed(ids)}"


def listed(ids: Sequence[str], most: int = 20) -> str:
    """Ids in a row, and how many more there are."""
    return (" ".join(ids[:most]) or "none") + more(ids, most)


def more(ids: Sequence[str], most: int) -> str:
    """How many ids there are beyond the first."""
    return f" and {len(ids) - most} more" if len(ids) > most else ""


def chosen(ids: Sequence[str], patterns: Iterable[str], pruned: Iterable[Pruned] = ()) -> tuple[str, ...]:
    """The ids that any pattern matches, less those that a ``!pattern`` matches, in their own order.

    Where no pattern says what to take, it is all of them. A pattern may hold several, separated by
    blanks; their order does not matter. Raises UsageError where one matches nothing, or nothing is left.
    """
    wanted = dict.fromkeys(pattern for given in patterns for pattern in given.split())
    found = {pattern: _matches(pattern.removeprefix("!"), ids, pruned) for pattern in wanted}
    away = {cell for pattern, cells in found.items() if pattern.startswith("!") for cell in cells}
    taken = [cells for pattern, cells in found.items() if not pattern.startswith("!")]
    some = {cell for cells in taken for cell in cells} if taken else set(ids)
    if wanted and some <= away:
        what = f"of this selection no cell is left: {' '.join(wanted)}"
        raise UsageError(what, hint="take fewer cells away with !")
    return tuple(cell for cell in ids if cell in some and cell not in away)


def _matches(pattern: str, ids: Sequence[str], pruned: Iterable[Pruned]) -> tuple[str, ...]:
    try:
        found = matching(pattern, ids)
    except ValueError as error:
        raise UsageError(str(error), hint="select with fewer braces") from error
    if not found:
        what, hint = no_match(pattern, ids, pruned)
        raise UsageError(what, hint=hint)
    return found
