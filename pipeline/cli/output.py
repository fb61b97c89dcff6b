"""What a command prints: data to stdout, narration to stderr.

Parts of it may be a stranger's, so no line is an order to a terminal or to a log.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import report
from pipeline.model import PROJECT, State, shown_json, shown_lines
from pipeline.report import outliers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pipeline.model import Status

MODULE = "python -m pipeline"
"""How every message writes a command of ours: it works in any checkout."""

_MAX_COLUMNS = 240
"""Columns of a table that goes to a file or a log, where nothing should be folded."""


def program() -> str:
    """What this program is called where it was started: ``tagproof`` as the script, else the module."""
    return PROJECT if Path(sys.argv[0]).stem == PROJECT else MODULE


def narrate(text: object) -> None:
    """Lines for whoever watches."""
    print(_shown(str(text)), file=sys.stderr)


def print_text(text: str) -> None:
    """Data for people."""
    print(_shown(text), end="")


def print_json(document: Mapping[str, Any]) -> None:
    """Data for programs."""
    print(shown_json(json.dumps(document, indent=2)))


def print_statuses(statuses: Sequence[Status], *, as_json: bool) -> None:
    """The rows of a run, as a table or as JSON."""
    if as_json:
        print(shown_json(report.as_json(statuses)), end="")
        return
    from rich.console import Console  # noqa: PLC0415 - JSON does not need it

    Console(width=None if sys.stdout.isatty() else _MAX_COLUMNS).print(report.table(statuses))


def narrate_failures(statuses: Iterable[Status], is_failure: Callable[[Status], bool]) -> None:
    """Each of these failures in full, with its remedy and the command that tries it again."""
    for status in statuses:
        if is_failure(status):
            narrate(report.failure(status))


def narrate_scopes(statuses: Iterable[Status]) -> None:
    """How far each record of a run goes: what it certifies, and what it does not."""
    for status in statuses:
        for sentence in report.scope_of(status):
            narrate(f"{status.cell.id}: {sentence}")


def narrate_outliers(statuses: Sequence[Status]) -> None:
    """Each cell that answers otherwise than the others with the same model."""
    for warning in outliers.lines(statuses):
        narrate(warning)


# -- which rows are failures ------------------------------------------------------------------------


def is_inconclusive(status: Status) -> bool:
    """Nothing was found out."""
    return status.state is State.INCONCLUSIVE


def is_failed(status: Status) -> bool:
    """The image does not do, or nothing was found out."""
    return status.state in {State.FAILED, State.INCONCLUSIVE}


def is_hindered(status: Status) -> bool:
    """Something speaks against the cell that no other machine can change."""
    return bool(status.reasons) and not status.pending


def needs_attention(status: Status) -> bool:
    """One of both."""
    return is_failed(status) or is_hindered(status)


def _shown(text: str) -> str:
    return shown_lines(text.replace(MODULE, program()))
