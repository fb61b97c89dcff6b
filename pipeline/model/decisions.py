"""What was decided of an image, and what was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.model.cells import Cell
    from pipeline.model.reasons import Reason
    from pipeline.model.references import ImageRef
    from pipeline.model.statements import Certified, Proof


@dataclass(frozen=True)
class Decision:
    """Whether a digest may carry a tag; if not, every reason. By this proof and this certificate.

    ``rejected`` is what lies beside the digest and counts for nothing, and why.
    """

    reasons: tuple[Reason, ...]
    proof: Proof | None = None
    certified: Certified | None = None
    rejected: tuple[Reason, ...] = ()

    @property
    def allowed(self) -> bool:
        """True where there is a proof and nothing against it."""
        return self.proof is not None and not self.reasons


@dataclass(frozen=True)
class Publication:
    """The tags that carry one proven digest, and which of them had to be written."""

    cell: Cell
    ref: ImageRef
    tags: tuple[str, ...]
    written: tuple[str, ...]
