"""What an audit says of one tag that is published, or of one image that runs somewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.model.reasons import Reason
    from pipeline.model.references import ImageRef


class Judgement(StrEnum):
    """How an image stands by a policy, at the moment of the audit."""

    CURRENT = "current"
    """Its evidence holds, and a channel names it."""
    SUPERSEDED = "superseded"
    """Its evidence holds, and every channel has gone on from it."""
    EXPIRED = "expired"
    """Nothing speaks against it but the age of its proof."""
    REFUSED = "refused"
    """Its evidence does not hold, or it is not whole any more."""
    YANKED = "yanked"
    """Whoever published it took it back."""
    UNKNOWN = "unknown"
    """It is in no repository of the policy, or not there, or nobody who counts signed anything of it."""

    @property
    def is_good(self) -> bool:
        """Whether it may go on running."""
        return self in {Judgement.CURRENT, Judgement.SUPERSEDED}


@dataclass(frozen=True)
class Audited:
    """One reference as it was asked for, the image that it names, and how that stands, with every reason.

    ``notes`` are what its owner may want to know, and is no reason to do anything: a newer release is out.
    """

    asked: str
    image: ImageRef | None
    judgement: Judgement
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing is to be done about it."""
        return self.judgement.is_good and not self.reasons
