"""What CONTRIBUTING.md asks of every file, as far as a program can tell."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PACKAGE, TESTS = ROOT / "pipeline", ROOT / "tests"
MAX_LINES = 400
MAX_FUNCTION_LINES = 45

OTHER_WORDS_FOR_MAX = r"_?(MOST|LARGEST|LONGEST|DEEPEST|HIGHEST)(_[A-Z_]+)?"
MISSPELT = r"\b(VLLM|Vllm)\b(?!_)"
"""vLLM as its owners never write it; what begins with ``VLLM_`` is a variable of its environment."""

files = pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
files_of_tests = pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS))
)


def tree_of(path: Path) -> ast.Module:
    """The file as Python reads it."""
    return ast.parse(path.read_text("utf-8"))


def constants(tree: ast.Module) -> Iterator[str]:
    """The names that a module gives to values of its own."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def texts(tree: ast.Module) -> Iterator[str]:
    """Every text in a module: messages and docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@files
def test_a_file_holds_one_thought(path: Path) -> None:
    """One that grows beyond this is cut by thought."""
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


@files_of_tests
def test_a_file_of_tests_holds_one_thought(path: Path) -> None:
    """It is read like any other: by whoever changes what it proves."""
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


@files
def test_a_function_is_read_at_a_glance(path: Path) -> None:
    """With its docstring."""
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]
    assert [
        node.name for node in functions if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ] == []


@files
def test_a_limit_is_called_max(path: Path) -> None:
    """One word for one concept."""
    assert [name for name in constants(tree_of(path)) if re.fullmatch(OTHER_WORDS_FOR_MAX, name)] == []


@files
def test_product_names_are_written_as_their_owners_do(path: Path) -> None:
    """In messages and in docstrings."""
    assert [text for text in texts(tree_of(path)) if re.search(MISSPELT, text)] == []


def test_what_breaks_these_rules_is_noticed() -> None:
    """Each of the two that look for words can fail."""
    tree = ast.parse('LARGEST_FILE = 1\nMOST: int = 2\nMAX_FILES = 3\nx = f"VLLM {LARGEST_FILE} VLLM_PORT"')
    names = [name for name in constants(tree) if re.fullmatch(OTHER_WORDS_FOR_MAX, name)]
    assert names == ["LARGEST_FILE", "MOST"]
    assert [text for text in texts(tree) if re.search(MISSPELT, text)] == ["VLLM "]


SHARED = "scope=" + '"package"'  # in two parts, so that this file is none of those that are meant


@pytest.mark.parametrize(
    "folder",
    sorted({file.parent for file in (ROOT / "tests").rglob("*.py") if SHARED in file.read_text("utf-8")}),
    ids=lambda folder: folder.name,
)
def test_what_a_folder_of_tests_shares_is_gone_after_its_last_test(folder: Path) -> None:
    """Without ``__init__.py`` pytest knows no package, and keeps it to the end: 26 GB, for a CUDA image."""
    assert (folder / "__init__.py").is_file()
