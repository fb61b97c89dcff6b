"""The plan for people: every cell with verdict and state, what is left to do, what that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.formats.units import size
from pipeline.model import Level, ReasonCode, State
from pipeline.report.columns import columns
from pipeline.report.text import brief, line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.model import Pruned, Status

_HEAD = ("cell", "verdict", "state", "download", "disk", "next")
_NUMBERS = frozenset({3, 4})
_MAX_NAMED = 6
"""Cells that a note names."""


def text_of(statuses: Sequence[Status], pruned: Sequence[Pruned] = ()) -> str:
    """One line for each cell; then every warning, and why some were left out, with those concerned."""
    parts = [
        list(columns([_HEAD, *map(_row, statuses)], right=_NUMBERS)),
        _warnings(statuses),
        _reasons(statuses),
        _left_out(pruned),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


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
        return brief("; ".join(reason.text for reason in status.reasons))
    if status.pending:
        return f"pending: {status.waiting}"
    steps = " ".join(status.steps) or "nothing"
    return f"{steps} ({', '.join(reason.code for reason in status.reasons)})" if status.reasons else steps


_EXPECTED = frozenset({ReasonCode.NO_PROOF, ReasonCode.NO_CERTIFICATE})
"""Codes of reasons that say no more than that a step is left to do."""


def _reasons(statuses: Sequence[Status]) -> list[str]:
    """What somebody must look at: what is signed and counts for nothing, tags that were moved, and so on."""
    lines = []
    for status in statuses:
        for reason in status.reasons:
            if status.state not in {State.IMPOSSIBLE, State.INCONCLUSIVE} and reason.code not in _EXPECTED:
                lines += [f"{reason.code}: {line(reason.text)}", f"hint: {line(reason.hint)}"]
    return lines


def _warnings(statuses: Sequence[Status]) -> list[str]:
    """What was warned about or is not known, in the order of the cells."""
    about: dict[str, list[str]] = {}
    for status in statuses:
        for finding in status.verdict.at(Level.WARN, Level.UNKNOWN) if status.verdict else ():
            text = f"{finding.level}: {finding.rule}: {finding.text}"
            about.setdefault(text, []).append(status.cell.id)
    return _noted(about)


def _left_out(pruned: Sequence[Pruned]) -> list[str]:
    """The combinations of the axes that become no cell, by the first reason against each."""
    about: dict[str, list[str]] = {}
    for combination in pruned:
        excluded = combination.excluded
        why = f"excluded: {excluded}" if excluded else f"impossible: {combination.reasons[0]}"
        about.setdefault(why, []).append(combination.cell.id)
    return _noted(about)


def _noted(about: dict[str, list[str]]) -> list[str]:
    """Each text on a line, and some of the cells that it is about on the next."""
    return [text for note, cells in about.items() for text in (line(note), f"  {_listed(cells)}")]


def _listed(cells: Sequence[str]) -> str:
    rest = f" and {len(cells) - _MAX_NAMED} more" if len(cells) > _MAX_NAMED else ""
    return " ".join(cells[:_MAX_NAMED]) + rest
