"""Records and decisions: what is odd is refused, and absence is refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.model import (
    MAX_FACTS,
    Decision,
    Outcome,
    Reason,
    ReasonCode,
    Record,
    to_json,
)
from tests import builders
from tests.unit.model.test_model import CELL

RECORD: dict[str, Any] = json.loads(json.dumps(to_json(builders.record())))


def record(**changes: Any) -> Record:
    """A record as it is read back, with these changes."""
    return Record.model_validate_json(json.dumps({**RECORD, **changes}))


def test_a_record_reads_back_as_it_was_written() -> None:
    """JSON out, JSON in, the same value, under the key that others read."""
    assert Record.model_validate_json(json.dumps(to_json(record()))) == record()
    assert to_json(record())["schema"] == 1


def test_attempts_that_the_machine_cost_are_written_where_there_are_any() -> None:
    """A record without them is written as those of before."""
    assert "inconclusive" not in to_json(builders.record())
    lost = builders.record(inconclusive=(builders.LOST,))
    assert to_json(lost)["inconclusive"][0]["seen"] == "no space left"
    assert Record.model_validate_json(json.dumps(to_json(lost))) == lost


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"digest": "latest"},
        {"cell": "../a"},
        {"cell": f"{CELL.id}\n"},
        {"attempt": 0},
        {"inconclusive": [{"check": "chat"}]},
        {"attempt": "1"},
        {"result": "passed"},
        {"started": "yesterday"},
        {"extra": 1},
        {"checks": [{"name": "serve", "outcome": "skipped", "seconds": 1}]},
        {"checks": [{"name": "serve", "outcome": "passed", "seconds": -1}]},
        {"checks": [{"name": "Serve!", "outcome": "passed", "seconds": 1}]},
        {"checks": [{"name": "serve", "outcome": "passed", "seconds": 1, "facts": {"a": "b" * 5000}}]},
        {"checks": [{"name": "serve", "outcome": "passed", "seconds": 1, "facts": {"A b": "c"}}]},
        {
            "checks": [
                {
                    "name": "serve",
                    "outcome": "passed",
                    "seconds": 1,
                    "facts": {f"a{number}": "b" for number in range(MAX_FACTS + 1)},
                }
            ]
        },
        {"repository": "a" * 5000},
    ],
)
def test_a_record_that_a_stranger_bent_is_refused(changes: dict[str, Any]) -> None:
    """Unknown keys, wrong types and odd values are no record."""
    with pytest.raises(ValidationError):
        record(**changes)


def test_a_check_without_facts_is_written_as_checks_of_before() -> None:
    """What was signed keeps its bytes; what a check found out stands beside its outcome."""
    signed = {"name": "serve", "outcome": "passed", "seconds": 1.5, "expected": "", "seen": ""}
    noted = signed | {"facts": {"attention": "FLASH_ATTN"}}
    assert to_json(record(checks=[signed, noted]))["checks"] == [signed, noted]


def test_checks_are_named_by_outcome() -> None:
    """Passed, failed, inconclusive and not run are four things."""
    names = ("passed", "failed", "inconclusive", "not_run")
    found = record(checks=[{"name": o, "outcome": o.replace("_", "-"), "seconds": 0} for o in names])
    assert [found.named(outcome) for outcome in Outcome] == [(name,) for name in names]


def test_a_decision_without_a_proof_allows_nothing() -> None:
    """Absence is refusal, even where there is no reason against it."""
    assert not Decision(()).allowed
    assert not Decision((Reason(ReasonCode.STALE, "b", "c"),)).allowed
