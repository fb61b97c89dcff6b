"""What a rehearsal saw, in the table, the plan, Markdown, JUnit and JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from pipeline import report
from pipeline.model import Outcome, Reason, ReasonCode, State, Status
from pipeline.report import planned
from tests.builders import CUDA_CELL, check, image, rehearsal
from tests.unit.report.test_report import PENDING, drawn, suite

IMAGE = image(CUDA_CELL)


def test_a_pending_cell_says_how_much_of_it_was_rehearsed() -> None:
    """In JUnit it still counts no passed case; JSON has all of it."""
    waiting = replace(PENDING, rehearsal=rehearsal(IMAGE))
    told = "needs a GPU (rehearsed 5/5)"
    for text in (drawn(waiting), planned.text_of([waiting])):
        assert f"pending: {told}" in text
    assert r"pending: needs a GPU (rehearsed 5/5)" in report.markdown([waiting])
    (case,) = suite(waiting)
    assert [(one.tag, one.get("message")) for one in case] == [("skipped", told)]
    (row,) = json.loads(report.as_json([waiting]))["cells"]
    assert [one["outcome"] for one in row["rehearsal"]["checks"]] == ["passed"] * 5


def test_an_image_that_failed_its_rehearsal_is_told_with_what_was_seen() -> None:
    failed = check("imports", Outcome.FAILED, expected="it loads", seen="undefined symbol: x")
    seen = rehearsal(IMAGE, versions={"imports": 1}, checks=(failed,))
    reason = Reason(ReasonCode.REHEARSAL_FAILED, "imports: undefined symbol: x", "mend it")
    status = Status(CUDA_CELL, State.FAILED, (reason,), rehearsal=seen)
    told = "check imports: failed\n  expected: it loads\n  seen:     undefined symbol: x"
    assert told in report.failure(status)
    assert [case.get("name") for case in suite(status)] == ["rehearsed imports", "gate"]
    assert (suite(status).get("failures"), suite(status).get("skipped")) == ("2", "0")


def test_a_failure_that_a_newer_proof_outweighs_is_told_no_more() -> None:
    """It stands in JSON, as all that was seen of the image."""
    failed = rehearsal(IMAGE, versions={"imports": 1}, checks=(check("imports", Outcome.FAILED),))
    status = Status(CUDA_CELL, State.PROVEN, rehearsal=failed)
    assert "imports" not in report.failure(status) + report.junit(status)
