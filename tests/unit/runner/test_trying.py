"""A proof is tried again where the machine failed, as often as the matrix says; a failing check never is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline.adapters import gpu, leases
from pipeline.adapters.gpu import Gpu
from pipeline.model import Outcome, ReasonCode
from pipeline.model.errors import EngineError, MachineError, UsageError
from pipeline.runner import trying
from pipeline.stages import verify
from tests.builders import CPU_CELL, CUDA_CELL, HOST, check
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


def test_two_proofs_on_the_same_cores_wait_for_each_other() -> None:
    said: list[str] = []
    with trying.leased(_trial(), said.append):
        assert not _is_free(leases.CORES)
    assert _is_free(leases.CORES)
    assert said == []


def test_a_proof_on_a_gpu_has_the_share_of_it_that_its_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the cores, which a proof without a GPU may have meanwhile; PyTorch alone is told no share."""
    monkeypatch.setattr(gpu, "gpus", lambda: (Gpu("a GPU", "GPU-1", (9, 0), 80 << 30),))
    shared, whole = leases.of_gpu("GPU-1"), _trial(cell=replace(CUDA_CELL, vllm=None))
    with trying.leased(_trial(cell=CUDA_CELL, gpu_memory=0.3), print):
        assert _is_free(leases.CORES)
        assert _is_free(shared, 0.7)
        assert not _is_free(shared, 0.75)
    with trying.leased(whole, print):
        assert not _is_free(shared, 0.1)


def test_a_rehearsal_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpus", lambda: (Gpu("a GPU", "GPU-1", (9, 0), 80 << 30),))
    with trying.leased(_trial(cell=CUDA_CELL, rehearses=True), print):
        assert _is_free(leases.of_gpu("GPU-1"))
        assert not _is_free(leases.CORES)


def _is_free(resource: leases.Resource, share: float = 1.0) -> bool:
    try:
        with leases.lease(resource, share, seconds=0):
            return True
    except MachineError:
        return False


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
