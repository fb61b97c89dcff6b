"""The gate's decision on an image, and what a publication did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.model.cells import Cell
    from pipeline.model.reasons import Reason
    from pipeline.model.references import ImageRef
    from pipeline.model.statements import Certified, Proof, Rehearsed


@dataclass(frozen=True)
class Decision:
    """Whether a digest may carry a tag, by this proof and this certificate; if not, every reason.

    ``rehearsed`` is the newest rehearsal, which speaks for no tag.
    ``rejected`` has the attestations of the digest that do not count, each with the reason.
    """

    reasons: tuple[Reason, ...]
    proof: Proof | None = None
    certified: Certified | None = None
    rejected: tuple[Reason, ...] = ()
    rehearsed: Rehearsed | None = None

    @property
    def allowed(self) -> bool:
        """True if there is a proof and no reason against it."""
        return self.proof is not None and not self.reasons


@dataclass(frozen=True)
class Publication:
    """The tags of one proven digest, and which of them had to be written."""

    cell: Cell
    ref: ImageRef
    tags: tuple[str, ...]
    written: tuple[str, ...]
