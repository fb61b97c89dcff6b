"""The list of changes that no test notices: each has a reason, and the code that it speaks of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import Change, reasons

ROOT = Path(__file__).parents[3]


def source_of(change: Change) -> str:
    place = ROOT.joinpath(*change.function.partition(":")[0].split("."))
    return (place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text(encoding="utf-8")


@pytest.mark.parametrize("change", reasons(), ids=lambda change: f"{change.function} {change.now}"[:100])
def test_a_survivor_has_a_reason_and_is_still_there(change: Change) -> None:
    source = source_of(change)
    assert reasons()[change].strip()
    assert f"def {change.function.rpartition(':')[2].rpartition('.')[2]}(" in source
    assert all(line in source for line in change.was.splitlines())
    assert change.was != change.now
