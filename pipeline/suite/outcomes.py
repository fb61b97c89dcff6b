"""What became of a check, by the error that ended it, if one did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Check, Outcome
from pipeline.model.errors import TagproofError
from pipeline.suite import device
from pipeline.suite.expect import Mismatch, NotRun, brief

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.adapters.gpu import Usage


def check_of(
    name: str,
    seconds: float,
    error: BaseException | None,
    *,
    gpus: tuple[Usage, ...],
    is_tested: bool = True,
    facts: Mapping[str, str] | None = None,
    ended: Callable[[], str] = str,
) -> Check:
    """The outcome of one check. A check that was skipped, or failed unexpectedly, has not passed.

    ``gpus`` are as they were before anything was started: on one that is lost nothing can be right. An
    error that is none of ours is the image's only where that ``is_tested`` already; ``ended`` says how its
    server ended, if it did.
    """
    noted = dict(facts or {})
    match error:
        case None:
            return Check(name=name, outcome=Outcome.PASSED, seconds=seconds, facts=noted)
        case NotRun():
            return Check(name=name, outcome=Outcome.NOT_RUN, seconds=seconds, seen=error.reason, facts=noted)
        case Mismatch():
            outcome, expected, actual = Outcome.FAILED, error.expected, error.actual
        case _ if isinstance(error, TagproofError) or not is_tested:
            outcome, expected, actual = Outcome.INCONCLUSIVE, "", brief(str(error) or repr(error))
        case _:
            outcome, expected = Outcome.FAILED, "no error"
            actual = brief(f"{type(error).__name__}: {error}{ended()}")
    if outcome is Outcome.FAILED and (lost := device.lost(gpus)):
        outcome, expected, actual = Outcome.INCONCLUSIVE, "", brief(lost)
    return Check(name=name, outcome=outcome, seconds=seconds, expected=expected, seen=actual, facts=noted)
