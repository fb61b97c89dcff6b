"""Servers start one after the other on one GPU, because each measures how much of its memory is free."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from pipeline.adapters import leases
from pipeline.model import Outcome, checks_of
from pipeline.suite import tiny_model
from tests.builders import CUDA_CELL
from tests.nvml_double import NvmlDouble
from tests.system.suite.fake_server import saboteur
from tests.system.suite.trials import prove, trial_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Check

pytestmark = pytest.mark.needs("compiler")

OTHERS = dict.fromkeys({*checks_of(CUDA_CELL)} - {"serve", "complete"}, "not asked")
LOOKS = """
import fcntl, pathlib
def look(when):
    with open(os.environ["LOCK"]) as lock, open(os.environ["SEEN"], "a") as seen:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print(when, "free", file=seen)
        except BlockingIOError:
            print(when, "held", file=seen)
look("starting")
post = Handler.do_POST
def looking(self): look("healthy"); post(self)
Handler.do_POST = looking
"""


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The UUID of the machine's only GPU, which no other test has; its locks are removed with the test."""
    (tmp_path / "driver").mkdir()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "driver"))
    uuid = f"GPU-{uuid4()}"
    NvmlDouble(tmp_path / "driver", uuid=uuid)
    yield uuid
    for lock in leases._folder().glob(f"*{uuid}*"):
        lock.unlink()


def _try(tmp_path: Path, gpu: str, behaviour: str = "", *, healthy_seconds: float = 6.0) -> dict[str, Check]:
    tiny_model.write(tmp_path / "model")
    lock = leases._folder() / f"tagproof-{gpu}.start.00"
    trial = trial_of(
        saboteur(tmp_path, behaviour),
        str(tmp_path / "model"),
        cell=CUDA_CELL,
        env={"LOCK": str(lock), "SEEN": str(tmp_path / "seen")},
        left_out=OTHERS,
        healthy_seconds=healthy_seconds,
    )
    return prove(trial, tmp_path)


def test_the_start_is_a_servers_own_until_it_is_healthy(tmp_path: Path, gpu: str) -> None:
    _try(tmp_path, gpu, LOOKS)
    assert (tmp_path / "seen").read_text().splitlines()[:2] == ["starting held", "healthy free"]


def test_a_server_waits_until_another_has_started(tmp_path: Path, gpu: str) -> None:
    """That takes nothing of the time that it has itself."""
    held = threading.Event()
    ended = threading.Event()

    def start() -> None:
        with leases.lease(leases.start_on_gpu(gpu)):
            held.set()
            ended.wait(6)

    other = threading.Thread(target=start)
    other.start()
    held.wait()
    started = time.monotonic()
    checks = _try(tmp_path, gpu, healthy_seconds=5.0)
    other.join()
    assert time.monotonic() - started > 6
    assert checks["complete"].outcome is Outcome.FAILED  # it has no answer: so it was asked
    assert checks["complete"].seen != "server not up"


def test_another_that_takes_too_long_is_the_machines_trouble_and_is_named(tmp_path: Path, gpu: str) -> None:
    with leases.lease(leases.start_on_gpu(gpu)):
        checks = _try(tmp_path, gpu, healthy_seconds=1.0)
    assert {checks[name].outcome for name in ("serve", "complete")} == {Outcome.INCONCLUSIVE}
    assert f"waited too long for the start of a server on the GPU {gpu}; held by" in checks["serve"].seen
