"""The page on the rules of a certificate says what the table in model says."""

from __future__ import annotations

from pathlib import Path

from pipeline.model import RULE_FAMILIES, RULE_NAMES
from pipeline.report import rule_table

PAGE = Path(__file__).parents[3] / "docs" / "certificate-rules.md"


def test_every_rule_is_described_in_its_order() -> None:
    """What has a name has a sentence."""
    assert tuple(RULE_FAMILIES) == RULE_NAMES
    assert all(family.asks.endswith(".") for family in RULE_FAMILIES.values())


def test_the_page_is_the_one_that_the_table_makes() -> None:
    """Write it anew: python -m pipeline.report.rule_table > docs/certificate-rules.md."""
    assert PAGE.read_text("utf-8") == rule_table.text()
