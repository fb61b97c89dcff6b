"""A proof is tried again where the machine failed, as often as the matrix says; a failing check never is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline.model import Outcome, ReasonCode
from pipeline.model.errors import EngineError, UsageError
from pipeline.runner import trying
from pipeline.stages import verify
from tests.builders import CPU_CELL, HOST, check
from tests.unit.stages.test_verify import _trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = (check("serve"), check("chat"))
BROKEN = (check("serve"), check("chat", Outcome.INCONCLUSIVE, seen="no space left"))
FAILED = (check("serve", Outcome.FAILED), check("chat"))
BOTH = (check("serve", Outcome.FAILED), check("chat", Outcome.INCONCLUSIVE, seen="no space left"))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "PAUSE_SECONDS", 0.0)


def _tried(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *attempts: Any, allowed: int = 2
) -> tuple[trying.Tried, list[str], list[str]]:
    """What becomes of attempts that end like this; what was said; and the logs, one for each attempt."""
    said, logs = list[str](), list[str]()
    outcomes: Iterator[Any] = iter(attempts)

    def prove(_trial: object, *, progress: object, log: Path) -> Any:
        assert progress
        logs.append(log.name)
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome, "the end"

    monkeypatch.setattr(verify, "prove", prove)
    settings = SimpleNamespace(state=lambda _: folder)
    services = SimpleNamespace(matrix=SimpleNamespace(attempts=allowed), settings=settings, here=HOST)
    return trying.tried(cast("Any", services), _trial(), said.append), said, logs


def test_a_pass_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done, said, _ = _tried(monkeypatch, tmp_path, GOOD)
    assert (done.checks, done.inconclusive, done.troubles, said) == (GOOD, (), (), [])


def test_a_failing_check_is_never_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done, said, _ = _tried(monkeypatch, tmp_path, FAILED)
    assert (done.checks, done.troubles, said) == (FAILED, (), [])


def test_not_even_where_the_machine_failed_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done, (said,), _ = _tried(monkeypatch, tmp_path, BOTH)
    assert len(done.troubles) == 1
    assert said.endswith("; not tried again, because serve failed")


def test_where_the_machine_failed_it_is_tried_again_and_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done, (said,), logs = _tried(monkeypatch, tmp_path, BROKEN, GOOD)
    assert (done.checks, done.troubles) == (GOOD, ())
    (lost,) = done.inconclusive
    assert (lost.host, lost.check, lost.seen) == (HOST, "chat", "no space left")
    assert said.startswith(
        f"{CPU_CELL.id}: the machine failed in check chat: no space left (attempt 1 of 2, on "
    )
    assert said.endswith("; tried again in 0 s")
    assert logs == [f"{CPU_CELL.id}.log", f"{CPU_CELL.id}.attempt-2.log"]


def test_a_suite_that_breaks_is_the_machines_trouble_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = EngineError("the engine is gone", hint="start it")
    done, _, _ = _tried(monkeypatch, tmp_path, gone, GOOD)
    assert [(lost.check, lost.seen) for lost in done.inconclusive] == [
        ("", "the suite did not end by itself")
    ]


@pytest.mark.parametrize("allowed", [1, 3])
def test_it_ends_after_the_stated_number_and_each_attempt_has_its_reason(
    allowed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = EngineError("the engine is gone", hint="start it")
    done, said, logs = _tried(monkeypatch, tmp_path, *[BROKEN] * (allowed - 1), gone, allowed=allowed)
    codes = [reason.code for reason in done.troubles]
    assert codes == [ReasonCode.INCONCLUSIVE] * (allowed - 1) + [ReasonCode.MACHINE]
    assert done.troubles[-1].hint == "start it"
    assert len(said) == allowed - 1
    assert len(logs) == allowed


def test_what_the_user_got_wrong_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        _tried(monkeypatch, tmp_path, UsageError("no such model", hint="name one"))
