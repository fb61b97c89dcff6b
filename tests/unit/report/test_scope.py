"""Whoever reads a report sees how far a record goes, before he takes it for more."""

from __future__ import annotations

import json
from dataclasses import replace

from pipeline import report
from pipeline.model import Check, Outcome, State, Status, certifies
from pipeline.report.scope import sentences
from tests import builders
from tests.builders import CPU_CELL, check

FACTS = {"dtype": "bfloat16", "attention": "CPU_ATTN", "compilation": "not said"}


def said(*checks: Check) -> list[str]:
    return list(sentences(certifies(builders.record(checks=checks))))


def test_it_says_what_is_certified_and_what_is_not() -> None:
    first, second = said(check("serve", facts=FACTS))
    assert first == (
        "certifies sha256:aaaaaaaaaaaa with the model sha256:666666666666 on cpu-amd64 (a processor) "
        "in bfloat16 by attention CPU_ATTN: serve"
    )
    assert second == (
        "does not certify any GPU, any processor but amd64, any model but sha256:666666666666, "
        "any number type but bfloat16, the compilation, which its log does not name"
    )


def test_on_a_gpu_it_names_the_driver() -> None:
    scope = replace(
        certifies(builders.record()), hardware="sm_90-x86_64", gpus=("NVIDIA H100",) * 2, driver="580.1"
    )
    first, second = sentences(scope)
    assert "on sm_90-x86_64 (NVIDIA H100, driver 580.1)" in first
    assert "any GPU but this, any driver but 580.1" in second


def test_a_failure_certifies_nothing_and_needs_no_limits() -> None:
    assert said(check("serve"), check("chat", Outcome.FAILED)) == ["certifies nothing: chat did not pass"]


def test_what_was_not_run_is_told_by_its_reason() -> None:
    left_out = [check(name, Outcome.NOT_RUN, seen="no GPU") for name in ("device", "exact")]
    assert said(check("serve"), *left_out)[2:] == ["not run: device, exact: no GPU"]


def test_what_was_tried_again_is_told_with_the_reason() -> None:
    """A pass all the same, and no clean one."""
    *_, last = sentences(certifies(builders.record(inconclusive=(builders.LOST,))))
    assert last == "tried again, because the machine failed in chat: no space left"


def test_the_report_has_it_for_people_and_for_programs() -> None:
    """A row without a record says nothing of the kind."""
    proven = Status(CPU_CELL, State.PROVEN, record=builders.record(checks=(check("serve", facts=FACTS),)))
    bare = Status(CPU_CELL, State.UNBUILT)
    page = report.markdown([proven, bare])
    assert page.count(f"### {CPU_CELL.id}") == 1
    assert "certifies sha256:aaaaaaaaaaaa" in page
    rows = json.loads(report.as_json([proven, bare]))["cells"]
    assert [row["certifies"] and row["certifies"]["dtypes"] for row in rows] == [["bfloat16"], None]
