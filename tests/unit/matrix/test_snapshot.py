"""The shipped matrix, expanded and judged: what new rules, facts or axes do to it is a diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import compat, matrix
from pipeline.model import Level, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Matrix

ROOT = Path(__file__).parents[3]
SNAPSHOT = Path(__file__).parent / "snapshots" / "matrix.txt"


def lines(found: Matrix) -> Iterator[str]:
    """One for each cell: its id, its level, and the rules that gave it; then those that are left out."""
    for spec in found.specs:
        yield line(spec.cell.id, compat.judge(spec.cell, compat.conditions_of(spec)))
    for one in found.pruned:
        yield f"{one.cell.id} excluded" if one.excluded else line(one.cell.id, Verdict(one.findings))


def line(cell: str, verdict: Verdict) -> str:
    """A cell, how it is judged, and by which rules it is no better."""
    spoke = sorted({one.rule for one in verdict.at(*(level for level in Level if level is not Level.OK))})
    return " ".join([cell, verdict.level, *spoke])


def test_the_shipped_matrix_is_judged_as_it_was() -> None:
    """Look at the diff; if it is meant, write it anew: ``python tests/unit/matrix/test_snapshot.py``."""
    found = matrix.load(ROOT / "matrix.yaml")
    assert SNAPSHOT.read_text("utf-8").splitlines() == list(lines(found))


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text("".join(f"{one}\n" for one in lines(matrix.load(ROOT / "matrix.yaml"))), "utf-8")
