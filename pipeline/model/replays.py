"""A record that was tried again: what became of each check then, and what becomes of it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.model.records import Check, Outcome


@dataclass(frozen=True)
class Replayed:
    """One check; ``was`` is None where the record has none of it, ``check`` where today's suite has none."""

    name: str
    was: Outcome | None
    check: Check | None

    @property
    def differs(self) -> bool:
        """Whether the record says something else than what is seen now; what it does not have, it cannot."""
        return self.was is not None and (self.check is None or self.check.outcome is not self.was)


@dataclass(frozen=True)
class Replay:
    """All checks of a subject, by its digest. ``notes`` say what else is other than it was."""

    subject: str
    checks: tuple[Replayed, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether every check of the record ended as it did then."""
        return not any(one.differs for one in self.checks)

    def has(self, outcome: Outcome) -> bool:
        """Whether any check ends so now."""
        return any(one.check is not None and one.check.outcome is outcome for one in self.checks)


def replayed(
    subject: str, before: Sequence[Check], now: Sequence[Check], notes: tuple[str, ...] = ()
) -> Replay:
    """Both compared, in today's order; what only the record has comes last."""
    was, current = ({check.name: check for check in checks} for checks in (before, now))
    names = dict.fromkeys((*current, *was))
    rows = (Replayed(name, was[name].outcome if name in was else None, current.get(name)) for name in names)
    return Replay(subject, tuple(rows), notes)
