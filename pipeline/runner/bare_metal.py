"""The suite on an environment of this machine; its record is kept here and never counts for a tag."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.model import Goal, Image, ImageRef, Repository, Result, Stage, State, Status
from pipeline.runner import subjects
from pipeline.runner.steps import Progress, inconclusive, now, run_suite
from pipeline.stages import attest, verify

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Check, Record
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.services import Services
    from pipeline.runner.subjects import Subject

_NOWHERE = Repository("localhost:0", "bare-metal")
"""Stands where a record of an image names its repository."""


def try_out(services: Services, reporter: ProgressReporter, python: Path) -> Status:
    """What the suite says of the environment of this interpreter.

    Raises UsageError where it cannot be run or holds no torch, SigningError where nothing can be signed.
    """
    key, subject, started = services.key, subjects.of_python(services, python), now()
    cell = subject.cell
    with reporter.timed(cell.id, Stage.VERIFY):
        checks, log_tail = run_suite(services, subject.trial, Progress(reporter, cell, Stage.VERIFY))
    words = ["python", "-m", "pipeline", Goal.VERIFY, "--python", str(python), *services.settings.given]
    again = shlex.join(words)
    if trouble := inconclusive(cell, checks):
        return Status(cell, State.INCONCLUSIVE, reasons=(trouble,), log_tail=log_tail, again=again)
    record = record_of(services, subject, checks, started)
    path = services.settings.state("bare-metal") / f"{subject.digest.hex}.json"
    files.write(path, attest.sign(record, key, predicate=attest.BARE_METAL))
    reporter.note(cell.id, f"the signed record is {path}")
    return Status(cell, _state(record), record=record, log_tail=log_tail, again=again)


def record_of(services: Services, subject: Subject, checks: tuple[Check, ...], started: str) -> Record:
    """What the suite saw of a subject outside of any repository, as it is signed."""
    digest = subject.digest
    return verify.record(
        Image(subject.cell, ImageRef(_NOWHERE, digest), digest.hex, digest.value),
        _NOWHERE,
        checks,
        earlier=(),
        model=services.model_digest_of(subject.cell),
        host=services.here,
        started=started,
        finished=now(),
    )


def _state(record: Record) -> State:
    return State.FAILED if record.result is Result.FAILED else State.PROVEN
