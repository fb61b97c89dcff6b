"""What lies behind a check that failed: read from what it saw, and from its server's log."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pipeline.compat import diagnosis
from pipeline.model import Outcome
from pipeline.suite.dtypes import EXACT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.model import Check, Trial
    from pipeline.model.diagnoses import Diagnosis, LogReading

_WITHOUT_A_SERVER = {"versions", "cuda", "imports", "installed", "architecture"}
_OF_THE_DOUBLE = {"no-gpu-found", "device-not-inferred"}
"""What a rehearsal brings about: the double of the driver shows no GPU."""


def diagnosed(checks: tuple[Check, ...], trial: Trial, log: Path) -> tuple[Check, ...]:
    """The checks, each that failed with its diagnosis, if there is one.

    ``log`` is that of the server of production; that of the exact one lies beside it.
    """
    failed = [check for check in checks if check.outcome is Outcome.FAILED]
    if not failed:
        return checks
    expected = _OF_THE_DOUBLE if trial.rehearses else set()
    read = cache(_read)
    found = {check.name: _cause(check, log, read, expected) for check in failed}
    return tuple(check.model_copy(update={"diagnosis": found.get(check.name)}) for check in checks)


def _log_of(check: str, log: Path) -> Path:
    """The log of the server that a check asks; ``exact`` has one of its own."""
    return log.with_suffix(f".{EXACT}{log.suffix}") if check == "exact" else log


def _cause(
    check: Check, log: Path, read: Callable[[Path], LogReading], expected: set[str]
) -> Diagnosis | None:
    """What the check saw comes first: a server lives on after errors that others caused."""
    readings = [diagnosis.of_text(check.seen)]
    if check.name not in _WITHOUT_A_SERVER:
        readings.append(read(_log_of(check.name, log)))
    causes = (cause for reading in readings for cause in reading.diagnoses if cause.id not in expected)
    return next(causes, None)


def _read(log: Path) -> LogReading:
    """What a log says; that of a server that never was says nothing."""
    try:
        with log.open("rb") as stream:
            return diagnosis.read(stream)
    except OSError:
        return diagnosis.of_text("")
