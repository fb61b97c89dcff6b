"""Cells are compared by what their records say they answered: the one that stands out is named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline import report
from pipeline.model import ANSWERS, Digest, State, Status
from pipeline.report.outliers import Outlier, lines, outliers
from pipeline.suite.fingerprint import TOKENS, fingerprint
from tests import builders
from tests.builders import CPU_CELL

MODEL, OTHER_MODEL = str(Digest.of(b"one")), str(Digest.of(b"other"))


def status(python: str, answers: str, model: str = MODEL) -> Status:
    """A proven cell for this Python, whose record has these answers."""
    facts = {ANSWERS: answers} if answers else {}
    record = builders.record(checks=(builders.check("correct", facts=facts),), model=model)
    return Status(replace(CPU_CELL, python=python), State.PROVEN, record=record)


def cell(python: str) -> str:
    """The id of that cell."""
    return replace(CPU_CELL, python=python).id


ALIKE = (status("3.11", "a b c"), status("3.12", "a b c"))


def test_cells_that_answer_alike_are_no_news() -> None:
    assert outliers(ALIKE) == ()
    assert lines(ALIKE) == ()


def test_the_one_that_stands_out_is_named_with_its_prompts() -> None:
    """Two agree, so the third is the odd one."""
    found = outliers((*ALIKE, status("3.13", "a X Y")))
    assert found == (Outlier(MODEL, (cell("3.13"),), (2, 3), (cell("3.11"), cell("3.12"))),)
    agreeing = f"{cell('3.11')} and {cell('3.12')}, which agree"
    assert str(found[0]) == f"{cell('3.13')} answers 2 prompts (2, 3) otherwise than {agreeing}"


def test_of_two_that_differ_neither_is_blamed() -> None:
    found = outliers((ALIKE[0], status("3.13", "a X c")))
    assert found == (Outlier(MODEL, (cell("3.11"), cell("3.13")), (2,), ()),)
    assert str(found[0]).endswith("answer 1 prompt (2) differently, and no answer is that of most")


def test_half_against_half_is_undecided() -> None:
    """More than half has to agree."""
    (found,) = outliers((*ALIKE, status("3.13", "X b c"), status("3.14", "X b c")))
    assert (len(found.cells), found.prompts, found.agreeing) == (4, (1,), ())


def test_two_that_stand_out_each_in_its_own_prompt_are_two() -> None:
    """Each is told beside those that agree at its prompt."""
    found = outliers((*ALIKE, status("3.13", "X b c"), status("3.14", "a b X")))
    assert [(one.cells, one.prompts) for one in found] == [((cell("3.13"),), (1,)), ((cell("3.14"),), (3,))]
    assert cell("3.14") in found[0].agreeing


def test_only_cells_of_one_model_are_compared() -> None:
    """Another model has other answers."""
    assert outliers((*ALIKE, status("3.13", "X Y Z", OTHER_MODEL))) == ()


@pytest.mark.parametrize("silent", [status("3.13", ""), Status(CPU_CELL, State.UNBUILT)])
def test_a_cell_without_answers_is_not_compared(silent: Status) -> None:
    """A record of before has none, and a cell that is not proven has no record."""
    assert outliers((*ALIKE, silent)) == ()


def test_reports_show_it_and_change_no_state() -> None:
    statuses = (*ALIKE, status("3.13", "a X c"))
    document = json.loads(report.as_json(statuses))
    assert [one["cells"] for one in document["outliers"]] == [[cell("3.13")]]
    assert {one["state"] for one in document["cells"]} == {"proven"}
    assert "1 prompt (2) otherwise than" in report.markdown(statuses)
    assert "otherwise" not in report.markdown(ALIKE)


def test_a_fingerprint_tells_answers_apart_by_the_tokens_that_every_cell_has() -> None:
    """A longer answer that begins alike is alike."""
    tokens = list(range(TOKENS))
    assert fingerprint([tokens, [*tokens, 5]]).split() == [fingerprint([tokens])] * 2
    assert fingerprint([tokens]) != fingerprint([tokens[1:]])
    assert fingerprint([[1, 23]]) != fingerprint([[12, 3]])
