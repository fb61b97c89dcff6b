"""The suite on what is no cell's image: an environment of this machine, or any image.

The record is kept here, has a predicate type of its own, and never counts for a tag.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.model import Goal, Image, ImageRef, Repository, Result, Stage, State, Status
from pipeline.runner import parents, subjects
from pipeline.runner.steps import Progress, refuse_changed
from pipeline.runner.trying import now, tried
from pipeline.stages import attest, verify

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Basis, Record
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.services import Services
    from pipeline.runner.subjects import Subject
    from pipeline.runner.trying import Tried

BARE_METAL = Repository("localhost:0", "bare-metal")
"""Stands where a record of an image names its repository."""
IN_ENGINE = Repository("localhost:0", "engine")
"""The same for an image that is in the engine's store alone."""


@dataclass(frozen=True)
class _Kind:
    """What is tried: the folder that its records are kept in, their type, and the words that name it."""

    folder: str
    predicate: str
    words: tuple[str, ...]

    def file(self, services: Services, subject: Subject) -> Path:
        """Where the record of a subject is kept."""
        return services.settings.state(self.folder) / f"{subject.digest.hex}.json"

    def replay(self, services: Services, subject: Subject) -> str:
        """The command that tries the same again, and compares; ``words`` say where a machine has it."""
        record = f".state/{self.folder}/{subject.digest.hex}.json"
        words = ("--replay", record, *(self.words if self.predicate == attest.BARE_METAL else ()))
        return _command(services, *words)


def try_python(services: Services, reporter: ProgressReporter, python: Path) -> Status:
    """What the suite says of the environment of this interpreter.

    Raises UsageError where it cannot be run or holds no torch, SigningError where nothing can be signed.
    """
    _ = services.key
    subject = subjects.of_python(services, python)
    kind = _Kind("bare-metal", attest.BARE_METAL, ("--python", str(python)))
    return _try_out(services, reporter, subject, kind)


def try_image(services: Services, reporter: ProgressReporter, reference: str) -> Status:
    """What the suite says of any image: a tag is resolved once, and the record names the digest.

    Raises UsageError where it holds no torch, RegistryError or EngineError where it cannot be had,
    SigningError where nothing can be signed.
    """
    _ = services.key
    subject = subjects.of_any_image(services, reference)
    reporter.note(subject.cell.id, f"{reference} is {subject.image or subject.digest}")
    kind = _Kind("images", attest.ANY_IMAGE, ("--image", str(subject.image or reference)))
    if reason := services.why_not(subject.cell):
        return Status(subject.cell, State.UNPROVEN, pending=reason)
    return _try_out(services, reporter, subject, kind)


def record_of(services: Services, subject: Subject, done: Tried, basis: Basis, replay: str = "") -> Record:
    """What the suite saw of a subject outside of any cell, as it is signed."""
    digest = subject.digest
    home = subject.image.repository if subject.image else IN_ENGINE if subject.is_image else BARE_METAL
    return verify.record(
        Image(subject.cell, ImageRef(home, digest), digest.hex, digest.value),
        home,
        done.checks,
        earlier=(),
        basis=basis,
        host=services.here,
        started=done.started,
        finished=now(),
        inconclusive=done.inconclusive,
        replay=replay,
        parent=parents.parent_of(services, subject) if subject.is_image else None,
    )


def _try_out(services: Services, reporter: ProgressReporter, subject: Subject, kind: _Kind) -> Status:
    cell, again, basis = subject.cell, _command(services, *kind.words), services.basis_for_proof(subject.cell)
    with reporter.timed(cell.id, Stage.VERIFY):
        done = tried(services, subject.trial, Progress(reporter, cell, Stage.VERIFY))
    if done.troubles:
        return Status(cell, State.INCONCLUSIVE, reasons=done.troubles, log_tail=done.log_tail, again=again)
    refuse_changed(services, cell, basis)
    record = record_of(services, subject, done, basis, kind.replay(services, subject))
    path = kind.file(services, subject)
    files.write(path, attest.sign(record, services.key, predicate=kind.predicate))
    reporter.note(cell.id, f"the signed record is {path}")
    return Status(cell, _state(record), record=record, log_tail=done.log_tail, again=again)


def _command(services: Services, *words: str) -> str:
    return shlex.join(["python", "-m", "pipeline", Goal.VERIFY, *words, *services.settings.given])


def _state(record: Record) -> State:
    return State.FAILED if record.result is Result.FAILED else State.PROVEN
