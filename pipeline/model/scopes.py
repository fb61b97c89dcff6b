"""What a record certifies, and what it does not; all of it is derived from the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.model.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.model.records import Check, Record

EXACT = "float32"
"""The number type of the check ``exact``, which its name stands for."""

NOT_SAID = "not said"
"""Noted where a server's log does not name what it chose."""

_DTYPE = "dtype"
_MODES = ("attention", "compilation", "cuda-graphs")
"""What a server chose for the hardware, as the check ``serve`` notes it."""


@dataclass(frozen=True)
class Scope:
    """How far a record goes; a text is empty, and a tuple has nothing, where the record says nothing of it.

    ``passed`` is whether it certifies anything. ``subject`` is the digest of what was tried, ``hardware`` its
    class (``cpu-x86_64``, ``sm_90-x86_64``), ``processor``, ``gpus`` and ``driver`` the machine's own names.
    ``dtypes`` are the number types of the answers, ``model`` is the digest of the files that were served, or
    the name of a model whose files nobody saw. ``modes`` are what the server chose (attention, compilation,
    CUDA graphs), ``unseen`` those of them that its log does not name. ``checks`` passed, ``failed`` did not,
    and of ``not_run`` each stands with the reason. ``inconclusive`` are the attempts before in
    which the machine failed: the check that could not be done, and what was wrong.
    """

    passed: bool
    subject: str
    hardware: str
    processor: str
    gpus: tuple[str, ...]
    driver: str
    dtypes: tuple[str, ...]
    model: str
    modes: tuple[tuple[str, str], ...]
    unseen: tuple[str, ...]
    checks: tuple[str, ...]
    failed: tuple[str, ...]
    not_run: tuple[tuple[str, str], ...]
    inconclusive: tuple[tuple[str, str], ...] = ()


def certifies(record: Record) -> Scope:
    """What a record certifies: on which hardware, with which model, in which number types and modes."""
    facts = _facts(record.checks)
    chosen = {name: facts[name] for name in _MODES if name in facts}
    host = record.host
    return Scope(
        passed=not record.named(Outcome.FAILED) and not record.named(Outcome.INCONCLUSIVE),
        subject=record.digest,
        hardware=host.hardware,
        processor=host.cpu,
        gpus=host.gpus,
        driver=host.driver,
        dtypes=_dtypes(record.checks, facts),
        model=record.model,
        modes=tuple((name, value) for name, value in chosen.items() if value != NOT_SAID),
        unseen=tuple(name for name, value in chosen.items() if value == NOT_SAID),
        checks=record.named(Outcome.PASSED),
        failed=(*record.named(Outcome.FAILED), *record.named(Outcome.INCONCLUSIVE)),
        not_run=not_run(record.checks),
        inconclusive=tuple((attempt.check, attempt.seen) for attempt in record.inconclusive),
    )


def not_run(checks: Sequence[Check]) -> tuple[tuple[str, str], ...]:
    """The checks that were not run, each with the reason."""
    return tuple((check.name, check.seen) for check in checks if check.outcome is Outcome.NOT_RUN)


def _facts(checks: Sequence[Check]) -> dict[str, str]:
    """What the checks that passed noted; the first to note a name says it."""
    facts: dict[str, str] = {}
    for check in checks:
        if check.outcome is Outcome.PASSED:
            facts = {**check.facts, **facts}
    return facts


def _dtypes(checks: Sequence[Check], facts: dict[str, str]) -> tuple[str, ...]:
    exact = any(check.name == "exact" and check.outcome is Outcome.PASSED for check in checks)
    named = [facts.get(_DTYPE, NOT_SAID), EXACT if exact else NOT_SAID]
    return tuple(dict.fromkeys(dtype for dtype in named if dtype != NOT_SAID))
