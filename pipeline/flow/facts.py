"""The facts, brought up to date: what ``python -m pipeline refresh`` does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import compat, places
from pipeline.compat.facts import FACTS, OVERLAY, load
from pipeline.index import Index
from pipeline.refresh import document, refresh
from pipeline.refresh.journal import Journal
from pipeline.report.refreshed import summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.nouns import Reason, Spec
    from pipeline.report.progress import Narrator
    from pipeline.report.refreshed import Changed, Summary


@dataclass(frozen=True)
class Update:
    """What changed in the file of the facts; nothing, where there are ``problems``."""

    summary: Summary
    problems: tuple[Reason, ...] = ()


def update(
    narrator: Narrator, specs: Sequence[Spec] = (), *, path: Path = FACTS, fresh: bool = False
) -> Update:
    """Read what the index has and this file has not, and write it; say what that means for these cells.

    Raises FactsError where the index or an artefact on it cannot be read; nothing is written then.
    """
    before = _verdicts(path, specs)
    with Index() as index:
        done = refresh(
            index,
            document.read(path),
            Journal(places.facts()),
            lambda text: narrator.note("", text),
            fresh=fresh,
        )
    narrator.note("", f"asked the index {index.requests} times for {index.received / 1e6:.1f} MB")
    if done.problems:
        return Update(summary(done.before, done.before), done.problems)
    document.write(path, done.rows, datetime.now(UTC).date().isoformat())
    return Update(summary(done.before, done.rows, tuple(_changed(before, _verdicts(path, specs)))))


def _verdicts(path: Path, specs: Sequence[Spec]) -> dict[str, str]:
    """What the rules say of each cell by the facts in this file, in a word; nothing without a file."""
    if not path.exists():
        return {}
    facts = load(path, OVERLAY)
    return {
        spec.cell.id: str(compat.judge(spec.cell, compat.conditions_of(spec), facts).level) for spec in specs
    }


def _changed(before: dict[str, str], now: dict[str, str]) -> Iterator[Changed]:
    for cell, verdict in now.items():
        if before.get(cell, verdict) != verdict:
            yield cell, before[cell], verdict
