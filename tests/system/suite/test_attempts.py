"""A real suite that cannot start at first, because its machine lacks something, and can a moment later."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pipeline.adapters import leases
from pipeline.model import Basis, Outcome, Result, checks_of
from pipeline.runner import trying
from pipeline.stages import verify
from tests.builders import CPU_CELL, HOST, IMAGE, REPOSITORY
from tests.system.suite.fake_server import saboteur
from tests.system.suite.test_suite import COMPLETION
from tests.system.suite.trials import trial_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OTHERS = dict.fromkeys({*checks_of(CPU_CELL)} - {"serve", "complete"}, "not asked")


def test_a_pass_after_the_machine_failed_is_a_pass_that_remembers(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter appears between the attempts, as an engine does that was started again."""
    monkeypatch.setattr(trying, "PAUSE_SECONDS", 0.1)
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock").chmod(0o1777)
    monkeypatch.setattr(leases, "FOLDERS", (tmp_path / "lock",))  # no proof on this machine waits for it
    said: list[str] = []

    def progress(text: str) -> None:
        said.append(text)
        if "tried again" in text:
            saboteur(tmp_path, "")

    trial = trial_of(tmp_path / "python", model, left_out=OTHERS, env={"BODY": COMPLETION})
    settings = SimpleNamespace(state=lambda _: tmp_path)
    services = SimpleNamespace(matrix=SimpleNamespace(attempts=2), settings=settings, here=HOST)
    done = trying.tried(cast("Any", services), trial, progress)
    assert {check.name for check in done.checks if check.outcome is Outcome.PASSED} == {"serve", "complete"}
    (lost,) = done.inconclusive
    assert lost.check == "serve"
    assert "No such file or directory" in lost.seen
    record = verify.record(
        IMAGE,
        REPOSITORY,
        done.checks,
        earlier=(),
        basis=Basis(f"sha256:{'0' * 64}"),
        host=HOST,
        started=done.started,
        finished=trying.now(),
        inconclusive=done.inconclusive,
    )
    assert (record.result, record.attempt, record.inconclusive) == (Result.PASSED, 2, (lost,))
