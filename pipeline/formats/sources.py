"""Which of our own files a part of this package works with, told by what they import.

A key of what judges must forget none of them, and a list that people keep forgets the one that came last.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

PACKAGE = Path(__file__).parents[1]


def behind(rooms: Iterable[str], less: Collection[str] = ()) -> tuple[Path, ...]:
    """The Python files of these rooms (``certify``, ``engine``) and of ours all that they import, in order.

    Imports are followed wherever they stand, for types only or not. The rooms in ``less`` are left out, with
    what only they import.
    """
    todo = [path for room in rooms for path in _of_room(room)]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in found and not _is_in(path, less):
            found.add(path)
            todo += _imported(path)
    return tuple(sorted(found))


def _of_room(room: str) -> list[Path]:
    folder = PACKAGE / room
    return [*folder.rglob("*.py")] if folder.is_dir() else [PACKAGE / f"{room}.py"]


def _is_in(path: Path, rooms: Collection[str]) -> bool:
    name = path.relative_to(PACKAGE).with_suffix("").as_posix()
    return any(f"{name}/".startswith(f"{room}/") for room in rooms)


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    """The files of ours that this one names in an import."""
    names = set(_names(ast.parse(path.read_text("utf-8"))))
    return tuple({file for name in names if (file := _file(name))})


def _names(tree: ast.Module) -> Iterator[str]:
    """Every module that is named in an import, and everything that is taken from one: it may be one, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(name: str) -> Path | None:
    """The file of a module of ours."""
    ours, *parts = name.split(".")
    if ours != PACKAGE.name or not parts:
        return None
    path = PACKAGE.joinpath(*parts)
    return next((one for one in (path / "__init__.py", path.with_suffix(".py")) if one.is_file()), None)
