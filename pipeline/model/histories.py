"""What a tag named over time, by the transitions that were signed of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.model.references import Digest
from pipeline.model.transitions import Life

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.model.references import TagRef
    from pipeline.model.statements import Declared


@dataclass(frozen=True)
class History:
    """The transitions that moved a tag, the oldest first, and what it names now; None where it is gone."""

    tag: TagRef
    now: Digest | None
    moves: tuple[Declared, ...] = ()

    @classmethod
    def of(cls, tag: TagRef, now: Digest | None, found: tuple[Declared, ...]) -> History:
        """Those of these transitions that move the tag, in order.

        Of one second, a digest loses its tags before another gets them.
        """
        moves = [each for each in found if tag.tag in each.transition.tags]
        return cls(tag, now, tuple(sorted(moves, key=_order)))

    def named_at(self, moment: datetime) -> Digest | None:
        """What the tag named at a moment, as far as was signed; None where it did not exist, or nobody says.

        What it named before the first move is known as well, by that.
        """
        text = next((self._move(each)[0] for each in self.moves[:1]), None)
        for each in self.moves:
            if each.transition.moment <= moment:
                text = self._move(each)[1]
        return Digest(text) if text else None

    @property
    def is_told(self) -> bool:
        """Whether the tag names what the last transition says: else it was moved, and nobody signed that.

        Of a tag of which no move was ever signed there is nothing to hold against it.
        """
        if not self.moves:
            return True
        return self._move(self.moves[-1])[1] == (str(self.now) if self.now else None)

    def _move(self, declared: Declared) -> tuple[str | None, str | None]:
        move = declared.transition.tags[self.tag.tag]
        return move.before, move.after


def _order(declared: Declared) -> tuple[datetime, bool, Digest]:
    is_given = declared.transition.life is Life.PUBLISHED
    return declared.transition.moment, is_given, declared.manifest
