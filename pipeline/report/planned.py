"""The plan, told to people: every cell with verdict and state, what is left to do, what that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.nouns import Level, State
from pipeline.report.columns import columns, size
from pipeline.report.text import line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.nouns import Status

_HEAD = ("cell", "verdict", "state", "download", "disk", "next")
_NUMBERS = frozenset({3, 4})


def text_of(statuses: Sequence[Status]) -> str:
    """One line for each cell; then every warning once, with the cells that it is about."""
    lines = list(columns([_HEAD, *map(_row, statuses)], right=_NUMBERS))
    notes = _notes(statuses)
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def _row(status: Status) -> tuple[str, ...]:
    estimate = status.estimate
    return (
        status.cell.id,
        str(status.verdict.level) if status.verdict else "-",
        str(status.state),
        size(estimate.download) if estimate else "-",
        size(estimate.disk) if estimate else "-",
        _next(status),
    )


def _next(status: Status) -> str:
    """What would be done, or why nothing can be."""
    if status.state in {State.IMPOSSIBLE, State.INCONCLUSIVE}:
        return line("; ".join(reason.text for reason in status.reasons))
    if status.pending:
        return f"pending: {status.pending}"
    steps = " ".join(status.steps) or "nothing"
    return f"{steps} ({', '.join(reason.code for reason in status.reasons)})" if status.reasons else steps


def _notes(statuses: Sequence[Status]) -> list[str]:
    """What was warned about or is not known, in the order of the cells."""
    about: dict[str, list[str]] = {}
    for status in statuses:
        for one in status.verdict.at(Level.WARN, Level.UNKNOWN) if status.verdict else ():
            about.setdefault(f"{one.level}: {one.rule}: {line(one.text)}", []).append(status.cell.id)
    return [f"{text}\n  {' '.join(cells)}" for text, cells in about.items()]
