"""The suite, again where the machine failed and nothing else did: a failing check is never tried again."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.adapters import files, gpu, leases
from pipeline.model import Attempt, ImageTarget, Outcome, Reason, ReasonCode
from pipeline.model.errors import MachineError
from pipeline.runner import pace
from pipeline.runner.pace import Pace
from pipeline.stages import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.model import Cell, Check, Trial
    from pipeline.runner.services import Services

PAUSE_SECONDS = 10.0
"""Between two attempts: an engine that was started again needs some."""


@dataclass(frozen=True)
class Tried:
    """The last attempt: every check, when it began, and the last lines of its server's log.

    ``inconclusive`` are the attempts before it, in each of which the machine failed. Where it failed in the
    last one too, ``troubles`` say so of each attempt, and nothing is known of what was tried.
    """

    checks: tuple[Check, ...]
    started: str
    log_tail: str = ""
    inconclusive: tuple[Attempt, ...] = ()
    troubles: tuple[Reason, ...] = ()


def now() -> str:
    """The present, as records write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run_suite(
    services: Services, trial: Trial, progress: Callable[[str], None], number: int = 1
) -> tuple[tuple[Check, ...], str]:
    """Every check of a trial, and the last lines of its server's log; attempts have logs of their own.

    ``progress`` is told of each check as it ends, and how long the others took the last time.
    """
    kind = "rehearsal." if trial.rehearses else ""
    took = services.settings.state("seconds") / f"{trial.cell.id}.{kind}json"
    so_far = Pace(verify.names_of(trial), pace.last(took))
    log = _log_of(services, trial.cell, number)
    checks, log_tail = verify.prove(trial, progress=lambda name: progress(so_far.after(name)), log=log)
    pace.remember(took, checks)
    return checks, log_tail


def inconclusive(cell: Cell, checks: tuple[Check, ...]) -> Reason | None:
    """The machine failed, not the image: nothing is signed, nothing is held against the image."""
    trouble = next((check for check in checks if check.outcome is Outcome.INCONCLUSIVE), None)
    if trouble is None:
        return None
    return Reason(
        ReasonCode.INCONCLUSIVE,
        f"{cell.id}: the machine failed in check {trouble.name}: {trouble.seen}",
        "nothing is held against the image; mend the machine and run it again",
    )


def tried(services: Services, trial: Trial, progress: Callable[[str], None]) -> Tried:
    """The suite, tried as often as the matrix says while the machine fails and no check does.

    It says on each occasion that it tries again, and why. Raises UsageError as ``verify.prove``.
    """
    lost: tuple[Attempt, ...] = ()
    troubles: tuple[Reason, ...] = ()
    allowed = services.matrix.attempts
    for number in range(1, allowed + 1):
        with leased(trial, progress):
            started = now()
            checks, log_tail, trouble = _attempt(services, trial, progress, number)
        if trouble is None:
            return Tried(checks, started, log_tail, lost)
        where = f"(attempt {number} of {allowed}, on {socket.gethostname()})"
        troubles = (*troubles, replace(trouble, text=f"{trouble.text} {where}"))
        failed = [check.name for check in checks if check.outcome is Outcome.FAILED]
        if failed and number < allowed:
            progress(f"{troubles[-1].text}; not tried again, because {', '.join(failed)} failed")
        if failed or number == allowed:
            break
        lost = (*lost, _lost(services, checks, started))
        progress(f"{troubles[-1].text}; tried again in {PAUSE_SECONDS:g} s")
        time.sleep(PAUSE_SECONDS)
    return Tried(checks, started, log_tail, lost, troubles)


@contextmanager
def leased(trial: Trial, progress: Callable[[str], None]) -> Iterator[None]:
    """The trial has this machine's GPUs, if it is to compute there, or else its cores, until the block ends.

    Two proofs on the same cores measure each other. Of a GPU it has the share of the memory that its server
    is told to take; PyTorch alone is told none. It says what it waits for. Raises MachineError where the
    machine has no place for locks.
    """
    needs_gpu = trial.cell.needs_gpu and not trial.rehearses
    uuids = sorted(device.uuid for device in gpu.gpus()) if needs_gpu else []  # sorted: none wait in a ring
    share = trial.gpu_memory if trial.cell.vllm else 1.0
    with ExitStack() as held:
        for uuid in uuids:
            held.enter_context(leases.lease(leases.of_gpu(uuid), share, waits=progress))
        if not uuids:
            held.enter_context(leases.lease(leases.CORES, waits=progress))
        yield


def _attempt(
    services: Services, trial: Trial, progress: Callable[[str], None], number: int
) -> tuple[tuple[Check, ...], str, Reason | None]:
    """The checks, the log's last lines, and what was wrong with the machine, if anything was."""
    try:
        if isinstance(trial.target, ImageTarget):
            services.engine.reap()  # what an earlier run that was killed left behind
        checks, log_tail = run_suite(services, trial, progress, number)
    except MachineError as error:
        return (), "", Reason(ReasonCode.MACHINE, f"{trial.cell.id}: {error.what}", error.hint)
    return checks, log_tail, inconclusive(trial.cell, checks)


def _lost(services: Services, checks: tuple[Check, ...], started: str) -> Attempt:
    """An attempt in which the machine failed, as a record tells of it: without the name of this machine."""
    found = next((check for check in checks if check.outcome is Outcome.INCONCLUSIVE), None)
    check, seen = (found.name, found.seen) if found else ("", "the suite did not end by itself")
    return Attempt(host=services.here, started=started, finished=now(), check=check, seen=seen)


def _log_of(services: Services, cell: Cell, number: int) -> Path:
    """The log of an attempt; those of an earlier trial's later attempts are gone."""
    folder = services.settings.state("logs")
    if number > 1:
        return folder / f"{cell.id}.attempt-{number}.log"
    for later in folder.glob(f"{cell.id}.attempt-*.log"):
        files.remove(later)
    return folder / f"{cell.id}.log"
