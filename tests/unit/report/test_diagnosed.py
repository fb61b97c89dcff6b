"""What logs say of a failure, as people and programs read it."""

from __future__ import annotations

from pathlib import Path

from pipeline import report
from pipeline.compat import diagnosis
from pipeline.model import Outcome, State, Status
from pipeline.report import diagnosed, signature_table
from tests import builders

PAGE = Path(__file__).parents[3] / "docs" / "signatures.md"
LOG = """\
(EngineCore pid=60) RuntimeError: Could not find nvcc
RuntimeError: Engine core initialization failed.
"""


def shown(log: str) -> str:
    return diagnosed.text_of([("server.log", diagnosis.of_text(log))])


def test_a_cause_is_shown_with_fault_line_remedy_and_source() -> None:
    page = shown(LOG)
    assert page.startswith("server.log (2 lines): 1 cause\n\nnvcc-missing: at fault is the image\n")
    assert "  seen     line 1: RuntimeError: Could not find nvcc\n" in page
    assert "  hint     install nvcc" in page
    assert "  source   https://github.com/flashinfer-ai/flashinfer/issues/1919\n" in page
    assert "Engine core" not in page


def test_what_was_not_recognised_is_said_so() -> None:
    """With the lines that matter, or that there are none, or that only a wrapper is there."""
    assert "not recognised. The lines that most likely matter:\n  line 1: ZebraError: stripes" in shown(
        "ZebraError: stripes\n"
    )
    assert "It only says that something else has failed:\n  line 1: EngineCore failed to start." in shown(
        "(EngineCore pid=60) ERROR 06-10 12:00:21 [core.py:718] EngineCore failed to start.\n"
    )
    assert "nothing in it looks like a failure" in shown("INFO all is well\n")
    assert "a server came up (line 1), and no failure is recognised" in shown(
        "INFO:     Application startup complete.\n"
    )


def test_no_line_of_a_log_is_an_order_to_a_terminal() -> None:
    assert "\x1b" not in shown("ZebraError: \x1b]0;title\x07stripes\n")


def test_programs_get_the_same_with_the_number_of_its_schema() -> None:
    document = diagnosed.as_json([("server.log", diagnosis.of_text(LOG))])
    assert document["schema"] == 1
    (log,) = document["logs"]
    assert (log["name"], log["lines"]) == ("server.log", 2)
    (found,) = log["diagnoses"]
    assert (found["id"], found["blame"], found["line"]) == ("nvcc-missing", "image", 1)


def test_a_failure_has_its_diagnosis_above_the_logs_end_and_once() -> None:
    """One server that does not come up fails every check that asks it."""
    (known,) = diagnosis.of_text(LOG).diagnoses
    checks = (builders.check(name, Outcome.FAILED, diagnosis=known) for name in ("serve", "chat"))
    status = Status(
        builders.CPU_CELL, State.FAILED, record=builders.record(checks=tuple(checks)), log_tail=LOG
    )
    said = report.failure(status)
    assert said.count("nvcc-missing: at fault is the image") == 1
    assert said.index("nvcc-missing") < said.index("the server's log ended:")
    assert "nvcc-missing: at fault is the image" in report.junit(status)


def test_the_page_is_the_one_that_the_table_makes() -> None:
    """Write it anew: python -m pipeline.report.signature_table > docs/signatures.md."""
    assert PAGE.read_text("utf-8") == signature_table.text()
