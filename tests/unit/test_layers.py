"""Who may import whom: values at the bottom, hands above them, verbs above those, flow on top."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pipeline"

VALUES = {"nouns", "errors", "formats", "sources"}
"""Types, other people's formats, and what of this package imports what: anybody may use them."""

FACTS = {"compat"}
"""Pure look-ups in data with sources; any verb may ask them."""

GROUND = {"environ", "files", "web"}
"""How files are read and written, what a program that is started gets, and how HTTP is spoken: the same for
every room."""

HANDS = {
    "buildx",
    "distribution",
    "engine",
    "filesystem",
    "gpu",
    "host",
    "index",
    "keys",
    "places",
    "registry",
    "uv",
    "wheels",
}
"""The only rooms that touch the world outside."""

VERBS = {
    "base",
    "build",
    "certify",
    "evidence",
    "fetch",
    "gate",
    "lock",
    "matrix",
    "plan",
    "publish",
    "refresh",
    "report",
    "verify",
}
"""Stages: from one value to the next."""

PURE = {"gate", "matrix", "plan", "report"}
"""Verbs that decide or tell from values alone (matrix reads its one file), so they need no hands."""

HANDS_TOGETHER = {"host": {"gpu"}, "filesystem": {"engine", "registry"}}
"""The few hands that need another: what a host can prove depends on its GPUs, and an image's files
are read from where the image is."""

ALLOWED: dict[str, set[str]] = {
    "": set(),
    "nouns": set(),
    "errors": set(),
    "formats": set(),
    "sources": set(),
    **dict.fromkeys(FACTS, VALUES),
    **dict.fromkeys(GROUND, VALUES),
    **{room: VALUES | GROUND | HANDS_TOGETHER.get(room, set()) for room in HANDS},
    **dict.fromkeys(VERBS, VALUES | FACTS | GROUND | HANDS),
    **dict.fromkeys(PURE, VALUES | FACTS),
    "report": VALUES | FACTS | {"files"},  # it writes its pages
    "verify": VALUES | FACTS | GROUND | HANDS | {"suite"},  # the stage that runs the suite
    "suite": VALUES | GROUND | {"engine", "gpu", "host"},
    "flow": VALUES | FACTS | GROUND | HANDS | VERBS | {"suite"},
    "__main__": VALUES | FACTS | GROUND | {"flow", "matrix", "plan", "report"},
}
"""For each room, the rooms that it may import beside itself. The empty name is the package itself."""


def files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """The room that a file belongs to: a module, or a folder with all that is in it."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported(source: str, package: tuple[str, ...]) -> set[str]:
    """The rooms that a source imports, wherever in it, for types only or not."""
    names: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            stem = (*above, *(node.module.split(".") if node.module else ()))
            names |= {(*stem, alias.name) for alias in node.names}
    ours = {name[1:] for name in names if name[0] == "pipeline"}
    return {name[0] if is_room(name) else "" for name in ours}


def is_room(name: tuple[str, ...]) -> bool:
    """Whether the first part names a module of the package, not something that the package defines."""
    return bool(name) and ((PACKAGE / name[0]).is_dir() or (PACKAGE / f"{name[0]}.py").is_file())


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_file_imports_only_what_its_room_may(path: Path) -> None:
    """Data flows one way: no room reaches upwards, or sideways into another stage."""
    here = room(path)
    assert here in ALLOWED, f"{path.name} has no room: give it one in this test, and in docs/architecture.md"
    package = ("pipeline", *path.relative_to(PACKAGE).parts[:-1])
    too_much = imported(path.read_text("utf-8"), package) - ALLOWED[here] - {here, ""}
    assert not too_much, f"{here} may not import {sorted(too_much)}"


def test_an_import_is_seen_however_it_is_written() -> None:
    """The reader of imports is not fooled by form, depth or a guard."""
    source = """
import pipeline.nouns
from pipeline import errors, plan as p
from pipeline.report.progress import Narrator
if TYPE_CHECKING:
    from ..compat import floors
def late():
    from . import cells
"""
    assert imported(source, ("pipeline", "matrix")) == {
        "nouns",
        "errors",
        "plan",
        "report",
        "compat",
        "matrix",
    }


def test_every_room_is_in_one_layer_only() -> None:
    """A room that were both hand and verb would have two rules."""
    layers = [VALUES, FACTS, GROUND, HANDS, VERBS, {"suite"}, {"flow"}, {"__main__"}, {""}]
    assert sum(len(layer) for layer in layers) == len(ALLOWED)
    assert PURE <= VERBS
