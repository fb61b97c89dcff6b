"""The README and the pages behind it say what is there: commands, checks, cells, exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline import matrix
from pipeline.cli.commands import COMMANDS
from pipeline.compat import judge
from pipeline.model import Level, errors

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAX_LINES = 125
"""Two screens."""


def first_cells(page: str, heading: str) -> str:
    """The first column of the table under this heading, as text."""
    section = page.partition(f"# {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^\| ([^|]+) \|", section, flags=re.MULTILINE))


def test_it_fits_two_screens() -> None:
    """What is longer belongs under docs/."""
    assert len(README.splitlines()) <= MAX_LINES


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "commands.md"], ids=lambda path: path.name)
def test_the_commands_of_the_table_are_those_of_the_program(page: Path) -> None:
    assert set(re.findall(r"`([\w-]+)", first_cells(page.read_text("utf-8"), "Commands"))) == set(COMMANDS)


def test_the_cells_that_it_shows_are_those_of_the_matrix() -> None:
    ids = {cell.id for cell in matrix.load(ROOT / "matrix.yaml").cells}
    assert set(re.findall(r"^\S*torch\S+", first_cells(README, "Start"), flags=re.MULTILINE)) == ids


def test_every_exit_code_is_explained() -> None:
    page = (DOCS / "commands.md").read_text("utf-8")
    codes = {errors.GOOD, errors.REFUSED, errors.USAGE, errors.MACHINE, errors.INTERRUPTED}
    assert set(map(int, re.findall(r"\d+", first_cells(page, "Exit codes")))) == codes


def test_every_page_is_reached_from_it() -> None:
    """Whoever reads the README finds all that there is."""
    pages = {f"docs/{path.name}" for path in DOCS.glob("*.md")} | {path.name for path in ROOT.glob("*.md")}
    assert pages - set(re.findall(r"\]\(([^)]+\.md)\)", README)) == {"README.md"}


def test_every_test_that_the_page_on_security_names_is_there() -> None:
    """It says "cannot" only where a test shows it."""
    named = re.findall(r"`(tests/[^`]+)`", (DOCS / "security.md").read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_language_that_is_documented_is_understood(tmp_path: Path) -> None:
    """All blocks of docs/matrix.md together are one good matrix, of cells that exist."""
    text = (DOCS / "matrix.md").read_text(encoding="utf-8")
    blocks = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    file = tmp_path / "matrix.yaml"
    file.write_text("\n".join(["schema: 1", *(line for line in blocks if not line.startswith("python -m"))]))
    for name in ("team.pub", "tests/images/test_answers.py", "prompts/capitals.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = matrix.load(file)
    assert all(judge(spec.cell).level in {Level.OK, Level.WARN} for spec in found.specs)
    assert [one.excluded for one in found.pruned if one.excluded]
