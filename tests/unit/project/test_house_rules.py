"""What CONTRIBUTING.md asks of every file of the package, as far as a program can tell."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[3] / "pipeline"
MAX_LINES = 400
MAX_FUNCTION_LINES = 45

MISSPELT = r"\b(VLLM|Vllm)\b(?!_)"
"""vLLM as its owners never write it; what begins with ``VLLM_`` is a variable of its environment."""

files = pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)


def tree_of(path: Path) -> ast.Module:
    """The file as Python reads it."""
    return ast.parse(path.read_text("utf-8"))


def texts(tree: ast.Module) -> Iterator[str]:
    """Every text in a module: messages and docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@files
def test_a_file_holds_one_thought(path: Path) -> None:
    """One that grows beyond this is cut by thought."""
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


@files
def test_a_function_is_read_at_a_glance(path: Path) -> None:
    """With its docstring."""
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]
    assert [
        node.name for node in functions if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ] == []


@files
def test_product_names_are_written_as_their_owners_do(path: Path) -> None:
    """In messages and in docstrings."""
    assert [text for text in texts(tree_of(path)) if re.search(MISSPELT, text)] == []


def test_a_misspelt_name_is_noticed() -> None:
    """And a variable of vLLM's environment is none."""
    tree = ast.parse('x = f"VLLM {y} VLLM_PORT"')
    assert [text for text in texts(tree) if re.search(MISSPELT, text)] == ["VLLM "]
