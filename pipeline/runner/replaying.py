"""Just what a record is about, tried again: the same digest, the same model, the same checks.

Nothing is signed, and nothing of it counts: it shows whether a failure comes again, or a pass does not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.adapters.registry import Registry
from pipeline.formats.dsse import MAX_BUNDLE_BYTES, InvalidAttestationError
from pipeline.model import DeploymentRecord, Digest, ImageRef, Record, Repository, Stage, replayed
from pipeline.model.errors import UsageError
from pipeline.runner import deployments, outside, subjects
from pipeline.runner.steps import Progress
from pipeline.runner.trying import leased, run_suite
from pipeline.stages import attest
from pipeline.stages import lock as locks

if TYPE_CHECKING:
    from pipeline.model import Replay
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.services import Services
    from pipeline.runner.subjects import Subject

STDIN = "-"


def replay(
    services: Services,
    reporter: ProgressReporter,
    named: str,
    *,
    python: Path | None = None,
    key_file: Path | None = None,
) -> Replay:
    """What becomes of the checks of a record now.

    ``named`` is the file of a record, ``-`` for standard input, or ``host/path@sha256:…`` for the newest
    record beside that image. ``python`` is the interpreter of the environment that a record is about, and
    ``key_file`` holds the key of a server. Raises UsageError where there is no record, or what it is about
    is another one by now; MachineError where that could not be found out.
    """
    record, image = _named(services, named)
    if isinstance(record, DeploymentRecord):
        return _asked_again(reporter, record, key_file)
    subject = _subject(services, record, image, python)
    _refuse_other(services, record, subject)
    progress = Progress(reporter, subject.cell, Stage.VERIFY)
    with reporter.timed(subject.cell.id, Stage.VERIFY), leased(subject.trial, progress):
        checks, _ = run_suite(services, subject.trial, progress)
    return replayed(record.digest, record.checks, checks, _notes(services, record))


def _asked_again(reporter: ProgressReporter, record: DeploymentRecord, key_file: Path | None) -> Replay:
    says, checks = deployments.asked(reporter, record.url, record.model, key_file)
    notes = (
        () if says.digest.value == record.digest else (f"the server says {says}, not {record.deployment}",)
    )
    return replayed(record.digest, record.checks, checks, notes)


# -- the record -------------------------------------------------------------------------------------


def _named(services: Services, named: str) -> tuple[Record | DeploymentRecord, ImageRef | None]:
    """The record that is meant, and the image beside which it lies, if it does."""
    path = next((path for path in (Path(named), services.settings.folder / named) if path.is_file()), None)
    if named != STDIN and path is None and "@" in named:
        return _beside(services, named)
    try:
        if named == STDIN:
            body = sys.stdin.buffer.read(MAX_BUNDLE_BYTES + 1)
        else:
            body = files.read(path or Path(named), MAX_BUNDLE_BYTES)
        return attest.record_in(body), None
    except OSError as error:
        raise UsageError(f"{named} cannot be read: it {error.strerror}", hint=_HINT) from error
    except InvalidAttestationError as error:
        raise UsageError(f"{named}: {error.text}", hint=_HINT) from error


def _beside(services: Services, named: str) -> tuple[Record, ImageRef]:
    """The newest record that is trusted here and lies beside an image."""
    try:
        image = ImageRef.parse(named)
    except ValueError as error:
        raise UsageError(str(error), hint=_HINT) from error
    attestations = services.evidence.attestations_of(Registry(image.repository), image.digest)
    record = attestations.newest_record_of(image.digest)
    if record is None:
        raise UsageError(f"{image}: no record that is trusted here lies beside it", hint=_HINT)
    return record, image


_HINT = "name the file of a record, - for standard input, or host/path@sha256:… for the one beside an image"


# -- what it is about -------------------------------------------------------------------------------


def _subject(services: Services, record: Record, image: ImageRef | None, python: Path | None) -> Subject:
    """What the record is about, where this machine finds it."""
    digest = Digest(record.digest)
    if record.repository == str(outside.BARE_METAL):
        if python is None:
            hint = "say where this machine has it: --python PATH"
            raise UsageError(f"the record is about the environment {record.digest}", hint=hint)
        return subjects.of_python(services, python)
    if record.repository == str(outside.IN_ENGINE):
        return subjects.of_any_image(services, f"engine:{digest}")
    image = image or _found(services, Repository.parse(record.repository), digest)
    if _is_locked(services, record):
        return subjects.of_image(services, image)
    return subjects.of_any_image(services, str(image))


def _found(services: Services, repository: Repository, digest: Digest) -> ImageRef:
    """Where the image is: one that was never published is in staging."""
    homes = [repository]
    if repository == services.matrix.repository:
        homes.append(services.matrix.staging)
    for home in homes:
        if services.has_registry(home) and Registry(home).has_manifest(digest):
            return home.at(digest)
    what = f"{digest} is neither in {' nor in '.join(map(str, homes))}"
    raise UsageError(what, hint="name where it is: --repository, or host/path@sha256:… in its place")


def _is_locked(services: Services, record: Record) -> bool:
    """Whether the matrix has the cell that a record names, with the very lock."""
    spec = next((spec for spec in services.matrix.specs if spec.cell.id == record.cell), None)
    lock = locks.read(spec, services.settings.locks) if spec else None
    return lock is not None and lock.digest == record.lock


def _refuse_other(services: Services, record: Record, subject: Subject) -> None:
    """Raise UsageError where it is not the same any more that would be tried."""
    if subject.digest.value != record.digest:
        what = f"the record is about {record.digest}, and this is {subject.digest}"
        raise UsageError(what, hint="it was changed since: try it as what it is now, without --replay")
    basis = services.basis_for_proof(subject.cell)
    if basis.model != record.model:
        what = f"the record is of the model {record.model}, and `verify: model:` is {basis.model}"
        raise UsageError(
            what, hint="name that model in the matrix, or use the version of this program of then"
        )
    if basis.tests != record.tests:
        what = f"the record is of other tests of yours ({record.tests}) than there are now ({basis.tests})"
        raise UsageError(what, hint="check out the tests of then, or verify with those of now")


def _notes(services: Services, record: Record) -> tuple[str, ...]:
    """What else is not as it was."""
    here = services.here.hardware
    return (
        () if here == record.host.hardware else (f"it was tried on {record.host.hardware}; this is {here}",)
    )
