"""What is committed as evidence is what was signed on the day, and its summary says no more than that."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters import signing_keys
from pipeline.formats import dsse
from pipeline.stages import attest

EVIDENCE = Path(__file__).parents[3] / "docs" / "evidence"
DAYS = [folder for folder in sorted(EVIDENCE.iterdir()) if folder.is_dir()]
STATEMENTS = [file for day in DAYS for file in sorted(day.glob("*.json"))]


def test_there_is_evidence() -> None:
    assert STATEMENTS


@pytest.mark.parametrize("file", STATEMENTS, ids=lambda file: file.name)
def test_every_statement_is_signed_by_the_key_of_its_day(file: Path) -> None:
    key = signing_keys.read_public(file.with_name("signing.pub"))
    dsse.verify(file.read_bytes(), signing_keys.trusted([key]))


@pytest.mark.parametrize("day", DAYS, ids=lambda day: day.name)
def test_a_summary_tells_of_every_signed_part_with_its_outcome(day: Path) -> None:
    trusted = signing_keys.trusted([signing_keys.read_public(day / "signing.pub")])
    summary = (day / "summary.md").read_text("utf-8")
    for file in day.glob("*.json"):
        if not file.stem.endswith(".record"):
            part = attest.parts.part_of(file.read_bytes(), trusted)
            passed = sum(check.outcome == "passed" for check in part.checks)
            assert (
                f"{part.outcome}, {passed}/{len(part.checks)}, {part.seconds:.0f} s, {part.finished}"
                in summary
            )


@pytest.mark.parametrize("day", DAYS, ids=lambda day: day.name)
def test_the_page_names_every_day(day: Path) -> None:
    assert f"({day.name}/summary.md)" in (EVIDENCE / "README.md").read_text("utf-8")
