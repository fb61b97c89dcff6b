"""The README says what is there: its commands, checks and cells are the program's."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline import matrix
from pipeline.cli.commands import COMMANDS
from pipeline.compat import judge
from pipeline.model import CHECKS, Level

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> str:
    """The first column of the table under this heading, as text."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^\| ([^|]+) \|", section, flags=re.MULTILINE))


def test_the_commands_of_the_table_are_those_of_the_program() -> None:
    told = set(re.findall(r"`(\w+)", first_cells("Commands")))
    assert told == set(COMMANDS)


def test_every_check_of_the_suite_is_explained() -> None:
    assert set(re.findall(r"`(\w+)`", first_cells("What is proven"))) == set(CHECKS)


def test_the_cells_that_it_shows_are_those_of_the_matrix() -> None:
    ids = {cell.id for cell in matrix.load(ROOT / "matrix.yaml").cells}
    assert set(re.findall(r"^\S*torch\S+", first_cells("Start"), flags=re.MULTILINE)) == ids


def test_every_document_that_it_names_is_there() -> None:
    assert all((ROOT / name).is_file() for name in re.findall(r"\]\((docs/[^)]+)\)", README))


def test_every_test_that_the_page_on_security_names_is_there() -> None:
    """It says "cannot" only where a test shows it."""
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_language_that_is_documented_is_understood(tmp_path: Path) -> None:
    """All blocks of docs/matrix.md together are one good matrix, of cells that exist."""
    text = (ROOT / "docs" / "matrix.md").read_text(encoding="utf-8")
    blocks = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    file = tmp_path / "matrix.yaml"
    file.write_text("\n".join(["schema: 1", *(line for line in blocks if not line.startswith("python -m"))]))
    (tmp_path / "team.pub").touch()
    found = matrix.load(file)
    assert all(judge(spec.cell).level in {Level.OK, Level.WARN} for spec in found.specs)
    assert [one.excluded for one in found.pruned if one.excluded]
