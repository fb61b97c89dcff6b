"""The facts, brought up to date: what ``python -m pipeline refresh`` does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import compat, matrix
from pipeline.adapters import paths
from pipeline.adapters.package_index import Index
from pipeline.compat.companion_facts import COMPANIONS
from pipeline.compat.facts import FACTS, OVERLAY, load
from pipeline.formats.units import size
from pipeline.model import Level
from pipeline.model.errors import UsageError
from pipeline.report.refreshed import summary
from pipeline.stages.refresh import companions, document, refresh
from pipeline.stages.refresh.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Reason
    from pipeline.report.progress import ProgressReporter
    from pipeline.report.refreshed import Changed, Summary


@dataclass(frozen=True)
class Update:
    """What changed in the file of the facts; nothing, where there are ``problems``."""

    summary: Summary
    problems: tuple[Reason, ...] = ()


def update(
    narrator: ProgressReporter, matrix_file: Path, *, path: Path = FACTS, fresh: bool = False
) -> Update:
    """Read what the index has and this file has not, and write it; say what that means for a matrix.

    The file of this package has that of the companions beside it, which is brought up to date with it.
    Raises FactsError where the index or an artefact on it cannot be read; nothing is written then.
    """
    rows = document.read(path)
    before = _verdicts(path, matrix_file)
    has_companions = path == FACTS
    with Index() as index:
        done = refresh(
            index,
            rows,
            Journal(paths.facts()),
            lambda text: narrator.note("", text),
            fresh=fresh,
        )
        known = companions.read(COMPANIONS) if has_companions and not fresh else ()
        released, unread = (
            companions.refresh(index, known, lambda text: narrator.note("", text))
            if has_companions and not done.problems
            else ((), ())
        )
    narrator.note("", f"asked the index {index.requests} times for {size(index.received)}")
    if problems := (*done.problems, *unread):
        return Update(summary(done.before, done.before), problems)
    today = datetime.now(UTC).date().isoformat()
    document.write(path, done.rows, today)
    if has_companions:
        companions.write(COMPANIONS, released, today)
    return Update(summary(done.before, done.rows, tuple(_changed(before, _verdicts(path, matrix_file)))))


def _verdicts(path: Path, matrix_file: Path) -> dict[str, str]:
    """What the rules say by the facts in this file of each cell that the matrix asks for.

    Nothing where either file is missing; where by these facts the matrix is refused, that is said.
    """
    if not path.exists() or not matrix_file.is_file():
        return {}
    facts = load(path, OVERLAY)
    try:
        requested = matrix.load(matrix_file, facts=facts)
    except UsageError as error:
        return {str(matrix_file): f"refused: {' '.join(error.what.split())}"}
    levels = {pruned.cell.id: str(Level.IMPOSSIBLE) for pruned in requested.pruned if not pruned.excluded}
    for spec in requested.specs:
        levels[spec.cell.id] = str(compat.judge(spec.cell, compat.conditions_of(spec), facts).level)
    return levels


def _changed(before: dict[str, str], now: dict[str, str]) -> Iterator[Changed]:
    """What ``auto`` finds may change too: then a cell is gone, and another is there."""
    for cell in {**before, **now}:
        old, new = before.get(cell, "-"), now.get(cell, "-")
        if old != new and before:
            yield cell, old, new
