"""The suite on an environment of this machine; its record is kept here and never counts for a tag."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.model import (
    Goal,
    Image,
    ImageRef,
    Lock,
    PythonTarget,
    Repository,
    Result,
    Stage,
    State,
    Status,
    Trial,
)
from pipeline.runner.steps import Progress, inconclusive, now, run_suite
from pipeline.stages import attest, verify

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Cell, Record
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.services import Services

_NOWHERE = Repository("localhost:0", "bare-metal")
"""Stands where a record of an image names its repository."""


def try_out(services: Services, reporter: ProgressReporter, python: Path) -> Status:
    """What the suite says of the environment of this interpreter.

    Raises UsageError where it cannot be run or holds no torch, SigningError where nothing can be signed.
    """
    key, environment = services.key, verify.environment(python)
    cell, started = environment.cell, now()
    excused = _excused(services, cell)
    trial = Trial(
        cell=cell,
        run=services.settings.run,
        target=PythonTarget(python=str(environment.python)),
        expected=replace(environment.expected, excused=excused),
        model=services.model_of(cell),
        healthy_seconds=services.matrix.healthy_seconds,
    )
    with reporter.timed(cell.id, Stage.VERIFY):
        checks, log_tail = run_suite(services, trial, Progress(reporter, cell, Stage.VERIFY))
    words = ["python", "-m", "pipeline", Goal.VERIFY, "--python", str(python), *services.settings.given]
    again = shlex.join(words)
    if trouble := inconclusive(cell, checks):
        return Status(cell, State.INCONCLUSIVE, reasons=(trouble,), log_tail=log_tail, again=again)
    subject = environment.subject
    record = verify.record(
        Image(cell, ImageRef(_NOWHERE, subject), subject.hex, subject.value),
        _NOWHERE,
        checks,
        earlier=(),
        model=services.model_digest_of(cell),
        host=services.here,
        started=started,
        finished=now(),
    )
    path = services.settings.state("bare-metal") / f"{subject.hex}.json"
    files.write(path, attest.sign(record, key, predicate=attest.BARE_METAL))
    reporter.note(cell.id, f"the signed record is {path}")
    return Status(cell, _state(record), record=record, log_tail=log_tail, again=again)


def _state(record: Record) -> State:
    return State.FAILED if record.result is Result.FAILED else State.PROVEN


def _excused(services: Services, cell: Cell) -> tuple[str, ...]:
    """The packages that the matrix leaves out of, or replaces in, such a cell."""
    specs = (spec for spec in services.matrix.specs if spec.cell == cell)
    return next((Lock(cell, (), spec.omit, spec.overrides).excused for spec in specs), ())
