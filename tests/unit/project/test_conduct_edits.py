"""Blind both ways: in each module of a check or a rule, prose moves nothing and what decides does."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from pipeline.model import CHECKS, RULE_NAMES
from tests.conduct.digests import Conduct
from tests.conduct.sources import Definition, Loose
from tests.unit.project.test_conduct import HERE, PACKAGE, modules_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def in_question() -> list[str]:
    """The modules of ours of which anything belongs to any check or rule."""
    every = {f"pipeline.{name}" for name in modules_of(*CHECKS) | modules_of(*RULE_NAMES, rules=True)}
    return sorted(every)


def path_of(module: str) -> Path:
    found = HERE.sources.module(module)
    assert found
    return found.path


def told(module: str, text: str | None = None) -> list[object]:
    """The tokens of all that a module defines, in the order in which it has them."""
    conduct = Conduct(PACKAGE, {path_of(module): text}) if text else HERE
    conduct.__dict__["_given"] = HERE._given
    names = HERE.sources.module(module)
    assert names
    every = (*(Definition(module, name) for name in names.bindings), Loose(module))
    return [conduct._tokens(one) for one in every]


@cache
def as_it_is(module: str) -> list[object]:
    """The tokens of a module that nobody has edited."""
    return told(module)


def a_docstring(text: str) -> str:
    """Other words in each place that has some, for docstrings of names also."""

    class Reworded(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.Expr:
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                node.value.value = "In other words."
            return node

    return ast.unparse(Reworded().visit(ast.parse(text)))


def a_comment(text: str) -> str:
    return re.sub(r"^( *)(def|return|class) ", r"\1# why\n\1\2 ", text, flags=re.MULTILINE)


def the_order_of_two_imports(text: str) -> str:
    lines = text.splitlines(keepends=True)
    imports = [n for n, one in enumerate(lines) if re.match(r"(import|from) (?!__future__).*[^(]\n", one)]
    for one, other in pairwise(imports):
        lines[one], lines[other] = lines[other], lines[one]
        break
    return "".join(lines)


def its_formatting(text: str) -> str:
    """As another formatter would write it."""
    return ast.unparse(ast.parse(text))


def a_locals_name(text: str) -> str:
    """One variable of one function."""
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef):
            names = {
                node.id
                for node in ast.walk(function)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            } - {one.arg for one in ast.walk(function) if isinstance(one, ast.arg)}
            source = ast.get_source_segment(text, function) or ""
            for name in sorted(names):
                if not re.search(
                    rf"\.{name}\b|\b{name}=|[\"'#].*\b{name}\b|import.*\b{name}\b|global", source
                ):
                    return text.replace(source, re.sub(rf"\b{name}\b", f"{name}_by_another_name", source))
    return text


BLIND = (a_docstring, a_comment, the_order_of_two_imports, its_formatting, a_locals_name)


@pytest.mark.parametrize("module", in_question())
@pytest.mark.parametrize("edit", BLIND, ids=lambda edit: edit.__name__)
def test_prose_moves_nothing(edit: Callable[[str], str], module: str) -> None:
    text = path_of(module).read_text("utf-8")
    assert told(module, edit(text)) == as_it_is(module)


class _Changed(ast.NodeTransformer):
    """Changes the first node that a function knows how to change."""

    def __init__(self, change: Callable[[ast.AST], bool]) -> None:
        self.change, self.done = change, False

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.arg) or _is_prose(node):
            return node
        if not self.done and self.change(node):
            self.done = True
            return node
        return self.generic_visit(node)


def _is_prose(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
        case ast.keyword(arg="hint" | "what" | "why" | "remedy" | "help"):
            return True
    return False


def a_constant(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=int(value) | float(value)) if not isinstance(value, bool):
            node.value = value + 1
            return True
    return False


def a_comparison(node: ast.AST) -> bool:
    swapped: dict[type[ast.cmpop], ast.cmpop] = {
        ast.Lt: ast.LtE(),
        ast.Gt: ast.GtE(),
        ast.LtE: ast.Lt(),
        ast.GtE: ast.Gt(),
        ast.Eq: ast.NotEq(),
        ast.NotEq: ast.Eq(),
        ast.In: ast.NotIn(),
        ast.NotIn: ast.In(),
        ast.Is: ast.IsNot(),
        ast.IsNot: ast.Is(),
    }
    if isinstance(node, ast.Compare):
        node.ops = [swapped[type(one)] for one in node.ops]
        return True
    return False


def what_is_called(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node.func.attr += "_of_another"
        return True
    return False


def changes() -> Iterator[tuple[str, str, str]]:
    """Each module in question with each change that it has a place for."""
    for module in in_question():
        for change in (a_constant, a_comparison, what_is_called):
            tree = ast.parse(path_of(module).read_text("utf-8"))
            changed = _Changed(change)
            changed.visit(tree)
            if changed.done:
                yield module, change.__name__, ast.unparse(tree)


@pytest.mark.parametrize(
    ("module", "text"),
    [pytest.param(module, text, id=f"{module}-{name}") for module, name, text in changes()],
)
def test_what_decides_moves_it(module: str, text: str) -> None:
    assert told(module, text) != as_it_is(module)
