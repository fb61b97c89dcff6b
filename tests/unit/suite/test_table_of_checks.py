"""The page on what a pass proves is made of the docstrings of the checks, and says which cells have each."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import suite
from pipeline.model import CHECKS, REHEARSED
from pipeline.suite import table_of_checks
from pipeline.suite.table_of_checks import described
from tests.builders import CPU_CELL, CUDA_CELL

ROOT = Path(__file__).parents[3]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "proof.md"
FIRST = '''
def check_first(trial_run: object) -> None:
    """It holds, of ``torch | vllm``.

    How that is found out is nobody's business.

    A pass does not
    say more.
    """
'''


def test_the_page_is_the_one_that_the_suite_makes() -> None:
    """Write it anew: python -m pipeline.suite.table_of_checks > docs/proof.md."""
    assert PAGE.read_text("utf-8") == table_of_checks.text()


def test_the_readme_has_the_table_that_the_suite_makes() -> None:
    """Make it anew: python -m pipeline.suite.table_of_checks --by-subject."""
    assert table_of_checks.by_subject() in README.read_text("utf-8")


def test_every_check_stands_with_what_it_is_asked_of() -> None:
    missing = [name for name in CHECKS if f"`{name}`" not in table_of_checks.by_subject()]
    assert missing == []


def test_every_check_is_on_the_page() -> None:
    """What can be required is explained."""
    assert {check.name for check in described(suite.tests_of)} == set(CHECKS)
    rehearsed = described(lambda cell: suite.rehearsed_of(cell.vllm))
    assert {check.name for check in rehearsed} == set(REHEARSED)


def test_the_kind_of_cell_is_named_where_not_all_have_the_check() -> None:
    cells = {(check.name, check.cells) for check in described(suite.tests_of)}
    assert {
        ("versions", "all"),
        ("serve", "with vLLM"),
        ("device", "with vLLM, on a GPU"),
        ("device", "without vLLM, on a GPU"),
        ("compile", "without vLLM"),
    } <= cells


def test_a_docstring_says_when_a_check_passes_and_what_that_leaves_open(tmp_path: Path) -> None:
    """Each in its own paragraph, as Markdown; what lies between is for whoever reads the code."""
    file = tmp_path / "check_something.py"
    file.write_text(FIRST)
    (check,) = described(lambda _: [f"{file}::check_first"], (CPU_CELL, CUDA_CELL))
    assert check.row == "| `first` | all | It holds, of `torch \\| vllm`. |\n"
    assert check.reservation == "A pass does not say more."


def test_a_check_without_a_docstring_is_refused(tmp_path: Path) -> None:
    """It would stand in the table as an empty row."""
    file = tmp_path / "check_something.py"
    file.write_text("def check_first() -> None:\n    pass\n")
    with pytest.raises(LookupError, match=r"check_something\.py: check_first has no docstring"):
        described(lambda _: [f"{file}::check_first"])
