"""Every command, option and session that a hint or a page names exists."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.cli.options import Options
from pipeline.cli.parser import parse, parsers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
OURS = "python -m pipeline"
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
VALUE = "VALUE"
"""Stands for a value that a text takes from a variable."""


@cache
def commands() -> dict[str, set[str]]:
    """The options of each command."""
    return {name: set(parser.option_names) for name, parser in parsers()[1].items()}


def sessions() -> set[str]:
    """The sessions of nox."""
    tree = ast.parse((ROOT / "noxfile.py").read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    return {node.name.replace("_", "-") for node in functions}


def own_words() -> set[str]:
    """What ``./run`` does by itself, without nox."""
    return set(
        re.findall(r'^if \[ "\$\{1-\}" = ([a-z]+) \]', (ROOT / "run").read_text("utf-8"), flags=re.MULTILINE)
    )


def texts(path: Path) -> Iterator[str]:
    """Every text in a file of Python, its docstrings too, with ``VALUE`` for what is put into it."""
    tree = ast.parse(path.read_text("utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def texts_with_paths() -> list[tuple[str, str]]:
    """Every text that may name a command, with the name of its file."""
    program = [
        (path.relative_to(ROOT), text) for path in (ROOT / "pipeline").rglob("*.py") for text in texts(path)
    ]
    pages = [(path.relative_to(ROOT), path.read_text("utf-8")) for path in PAGES]
    return [(str(path), text) for path, text in (*program, *pages)]


OTHERS = "(?<!policy )(?<!cosign )"
"""Not after a word of which a command's name is an argument."""


def mistakes(text: str) -> list[str]:
    """The commands after ``python -m pipeline``, and the options of commands, that do not exist."""
    options_of = commands()
    named = set(re.findall(rf"{OURS} ([a-z]\w*)", text)) - set(options_of)
    calls = re.findall(rf"(?:^|[\s`]){OTHERS}([a-z]+)((?: --[a-z][a-z-]*)+)", text)
    calls += re.findall(rf"{OURS} ([a-z]+) (?:{VALUE}|'[^']*'|\S+) ?((?: ?--[a-z][a-z-]*)+)", text)
    unknown = [
        f"{command} {option}"
        for command, options in calls
        for option in options.split()
        if command in options_of and option not in options_of[command]
    ]
    return [*sorted(named), *unknown]


def test_every_command_and_option_that_is_named_exists() -> None:
    """In hints, docstrings and pages alike."""
    assert [(path, found) for path, text in texts_with_paths() if (found := mistakes(text))] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("run again: python -m pipeline publish VALUE", []),
        ("python -m pipeline publsh VALUE", ["publsh"]),
        ("python -m pipeline build --fresh VALUE replaces it; else verify --fresh VALUE", []),
        ("python -m pipeline publish --fresh VALUE", ["publish --fresh"]),
        ("python -m pipeline verify VALUE --retry", ["verify --retry"]),
        ("or verify --again", ["verify --again"]),
    ],
)
def test_a_name_that_does_not_exist_is_noticed(text: str, found: list[str]) -> None:
    """However a text goes on behind it."""
    assert mistakes(text) == found


def test_every_session_that_is_named_exists() -> None:
    """Of nox, by itself or through ./run, and what ./run does without nox."""
    names = {
        name.partition("(")[0]
        for _, text in texts_with_paths()
        for name in re.findall(r"(?:nox -s|\./run) \"?([a-z][\w(-]*)", text)
    }
    assert names - sessions() - own_words() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_line_that_a_page_shows_is_understood(page: Path) -> None:
    """As a shell would hand it to the program."""
    lines = re.findall(rf"^    {OURS} (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    for line in lines:
        assert parse(shlex.split(line, comments=True), Options())
