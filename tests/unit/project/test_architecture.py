"""The folders are the layers: each imports what stands below it in one list, and no stage imports another."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "pipeline"

LAYERS = (
    "__main__",
    "cli",
    "runner",
    "stages",
    "suite",
    "report",
    "matrix",
    "compat",
    "adapters",
    "formats",
    "model",
)
"""From top to bottom."""

PURE = {"report", "matrix", "compat"}
"""They compute from values alone; of the adapters they use only that of files."""

SIBLINGS = "stages"
"""The layer whose members do not import each other: what two of them need stands below."""


def files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> tuple[str, ...]:
    """The parts of a module's name, without the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports_of(source: str, package: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The modules of ours that a source imports, wherever in it, for types only or not."""
    names: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            stem = (*above, *(node.module.split(".") if node.module else ()))
            names |= {(*stem, alias.name) for alias in node.names}
    return {module_in(name[1:]) for name in names if name[0] == "pipeline"}


def module_in(name: tuple[str, ...]) -> tuple[str, ...]:
    """The part of a dotted name that is a module; what is taken from it is cut off."""
    while name and not (
        PACKAGE.joinpath(*name).is_dir() or PACKAGE.joinpath(*name).with_suffix(".py").is_file()
    ):
        name = name[:-1]
    return name


def refusal(importer: tuple[str, ...], target: tuple[str, ...]) -> str:
    """Why the first module may not import the second; empty where it may."""
    if not importer or not target:
        return ""
    if LAYERS.index(target[0]) < LAYERS.index(importer[0]):
        return f"{target[0]} stands above {importer[0]}"
    if importer[0] in PURE and target[0] == "adapters" and target[1:] != ("files",):
        return f"{importer[0]} reaches nothing outside, and {'.'.join(target)} does"
    if importer[0] == target[0] == SIBLINGS and importer[1:2] != target[1:2]:
        return f"the stage {importer[1]} imports the stage {'.'.join(target[1:2]) or 'folder'}"
    return ""


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_file_imports_only_what_stands_below_it(path: Path) -> None:
    """Data flows one way: nothing reaches upwards, or sideways into another stage."""
    importer = module_of(path)
    package = ("pipeline", *path.relative_to(PACKAGE).parts[:-1])
    targets = imports_of(path.read_text("utf-8"), package)
    assert not {reason for target in targets if (reason := refusal(importer, target))}


def test_every_folder_is_a_layer() -> None:
    """Anything else in the package would be under no rule."""
    folders = {module_of(path)[0] for path in files() if module_of(path)}
    assert folders == set(LAYERS)


def test_the_page_on_architecture_shows_the_layers_in_this_order() -> None:
    """Its table and the list above are one."""
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text("utf-8")
    section = page.partition("## Layers\n")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) == LAYERS


def test_an_import_is_found_however_it_is_written() -> None:
    """The reader of imports is not fooled by form, depth or a guard."""
    source = """
import pipeline.model
from pipeline import matrix, report as r
from pipeline.stages.build import key
from pipeline.report.progress import ProgressReporter
if TYPE_CHECKING:
    from ..compat import facts
def late():
    from . import cells
"""
    assert imports_of(source, ("pipeline", "matrix")) == {
        ("model",),
        ("matrix",),
        ("report",),
        ("stages", "build"),
        ("report", "progress"),
        ("compat", "facts"),
        ("matrix", "cells"),
    }


def test_the_rule_refuses_the_ways_up_and_aside() -> None:
    """It can fail: upwards, into a sibling, and out of a folder that is pure."""
    assert refusal(("formats", "oci"), ("adapters", "registry"))
    assert refusal(("stages", "audit", "rules"), ("stages", "attest"))
    assert refusal(("compat", "facts"), ("adapters", "gpu"))
    assert not refusal(("stages", "audit", "rules"), ("stages", "audit", "image_model"))
    assert not refusal(("runner",), ("stages", "gate"))
