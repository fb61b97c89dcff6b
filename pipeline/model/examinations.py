"""What a host can do of the work: each thing about it, how it stands, and what that means for each cell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.model.cells import Cell  # noqa: TC001 - its fields are asked for at run time


class Standing(StrEnum):
    """How one thing of a host stands, from best to worst.

    ``limited``: it works, and not for everything. ``absent``: it is not here, and nothing here is wrong for
    that. ``unknown``: it did not answer. ``broken``: it is here, and does not do its work.
    """

    GOOD = "good"
    LIMITED = "limited"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    BROKEN = "broken"


@dataclass(frozen=True)
class Aspect:
    """One thing about a host: its name ("engine"), how it stands, the values, and the command that helps."""

    name: str
    standing: Standing
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Prospect:
    """What can be done of one cell on a host: why it cannot be built, rehearsed and proven, or nothing.

    ``rehearse`` is None for a cell that needs no GPU: it is proven, not rehearsed.
    """

    cell: Cell
    build: str
    rehearse: str | None
    prove: str
    hint: str = ""
    """What would help with what cannot be done here."""


@dataclass(frozen=True)
class Examination:
    """A host as a page. ``host`` is its system and processor in words."""

    host: str
    aspects: tuple[Aspect, ...]
    prospects: tuple[Prospect, ...] = ()

    def at(self, *standings: Standing) -> tuple[Aspect, ...]:
        """The aspects that stand so."""
        return tuple(aspect for aspect in self.aspects if aspect.standing in standings)

    @property
    def is_of_use(self) -> bool:
        """Whether something of the matrix can be built here; true where no matrix was looked at."""
        return not self.prospects or any(not prospect.build for prospect in self.prospects)
