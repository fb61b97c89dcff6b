"""The codes of reasons: documented, in use, and complete."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pipeline
from pipeline.model import ReasonCode, reasons
from pipeline.report import reason_table

PACKAGE = Path(pipeline.__file__).parent


@cache
def trees() -> tuple[ast.Module, ...]:
    """Every module of the package but that of the codes."""
    paths = [path for path in PACKAGE.rglob("*.py") if path != Path(reasons.__file__)]
    return tuple(ast.parse(path.read_text()) for path in paths)


@cache
def named() -> set[str]:
    """The codes that the package names, as ``ReasonCode.NAME``."""
    return {
        node.attr
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "ReasonCode"
    }


@cache
def refusing_rules() -> set[str]:
    """The rules of compatibility that may say more than OK, WARN or UNKNOWN: those that leave a cell out."""
    mild = {"Level.OK", "Level.WARN", "Level.UNKNOWN"}
    return {
        str(node.args[0].value)
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
        if isinstance(node.args[0], ast.Constant) and ast.unparse(node.args[1]) not in mild
    }


def test_every_code_has_its_meaning_on_the_page() -> None:
    """Write it anew with ``python -m pipeline.report.reason_table > docs/reasons.md``."""
    assert all(code.meaning for code in ReasonCode)
    assert (PACKAGE.parent / "docs" / "reasons.md").read_text("utf-8") == reason_table.text()


def test_every_code_is_in_use() -> None:
    """By name, or as the name of a rule of compatibility."""
    assert {code for code in ReasonCode if code.name not in named()} <= refusing_rules()


def test_every_rule_that_leaves_a_cell_out_has_a_code() -> None:
    """Else ``plan`` could not say why a combination becomes no cell."""
    assert refusing_rules() - {"certificate"} <= set(ReasonCode), "of an image, by no matrix: certificate"
