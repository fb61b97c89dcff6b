"""What `scan:` in a matrix says of weaknesses, and what it may not say."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from pipeline.model import Demand, ScanTerms, Threat, Tolerated
from tests.unit.matrix.test_variables import load, refusal

if TYPE_CHECKING:
    from pathlib import Path


def test_all_that_is_known_refuses_an_image_unless_the_matrix_says_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path, "").demand == Demand(Threat.LOW, fixable=False, leeway=0, tolerated=())


def test_what_the_matrix_says_is_what_is_asked(tmp_path: Path) -> None:
    rule = (
        '{ids: [CVE-2026-1, GHSA-a], packages: ["open*"], expires: "2027-01-01", reason: we do not call it}'
    )
    more = f"scan: {{severity: high, unfixed: accept, leeway: 14, exceptions: [{rule}]}}\n"
    assert load(tmp_path, more).demand == Demand(
        Threat.HIGH,
        fixable=True,
        leeway=14,
        tolerated=(
            Tolerated(frozenset({"CVE-2026-1", "GHSA-a"}), ("open*",), date(2027, 1, 1), "we do not call it"),
        ),
    )


def test_a_gate_asks_for_a_scan_where_the_matrix_says_how_old_it_may_be(tmp_path: Path) -> None:
    asked = load(tmp_path, "scan: {severity: high, max_age_days: 7}\n")
    assert asked.policy.scan == ScanTerms(7, asked.demand)
    assert asked.demand == Demand(Threat.HIGH)
    assert load(tmp_path, "scan: {severity: high}\n").policy.scan is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("{ids: [CVE-2026-1], reason: a}", "scan.exceptions.expires is missing"),
        ('{ids: [CVE-2026-1], expires: "2027-01-01"}', "scan.exceptions.reason is missing"),
        ('{ids: [], expires: "2027-01-01", reason: a}', "scan.exceptions.ids"),
        ('{ids: ["a b"], expires: "2027-01-01", reason: a}', "id of an advisory"),
        ('{ids: [CVE-2026-1], expires: "2027-02-30", reason: a}', "2027-02-30"),
    ],
    ids=str,
)
def test_an_exception_has_a_name_a_reason_and_an_end(rule: str, words: str, tmp_path: Path) -> None:
    assert words in refusal(tmp_path, f"scan: {{exceptions: [{rule}]}}\n")
