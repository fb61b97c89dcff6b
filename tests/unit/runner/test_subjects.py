"""What is tried outside of the path: a matrix's reasons hold for an environment that it has no cell for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline import matrix
from pipeline.runner import subjects
from pipeline.runner.services import Services, Settings

ROOT = Path(__file__).parents[3]


def test_what_the_matrix_leaves_out_of_a_combination_may_be_absent_on_another_python_too() -> None:
    services = Services(Settings(matrix.load(ROOT / "matrix.yaml")))
    spec = next(spec for spec in services.matrix.specs if spec.omit)
    elsewhere = replace(spec.cell, python="3.12")
    assert elsewhere not in services.matrix.cells
    excused = subjects.excused(services, elsewhere)
    assert {rule.text for rule in spec.omit} <= set(excused)
    assert subjects.excused(services, replace(elsewhere, torch="1.0")) == ()
