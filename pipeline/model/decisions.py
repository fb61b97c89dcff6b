"""The gates' decisions on an image, and what a publication or a retraction did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.model.cells import Cell
    from pipeline.model.reasons import Reason
    from pipeline.model.references import Digest, ImageRef, TagRef
    from pipeline.model.statements import Certified, Proof, Rehearsed, Scanned, Statement


@dataclass(frozen=True)
class Decision:
    """Whether a digest may carry a tag, by this proof and this certificate; if not, every reason.

    ``rehearsed`` is the newest rehearsal, which speaks for no tag, and ``scanned`` the newest scan that does,
    where the policy asks for one.
    ``rejected`` has the attestations of the digest that do not count, each with the reason.
    """

    reasons: tuple[Reason, ...]
    proof: Proof | None = None
    certified: Certified | None = None
    rejected: tuple[Reason, ...] = ()
    rehearsed: Rehearsed | None = None
    scanned: Scanned | None = None

    @property
    def allowed(self) -> bool:
        """True if there is a proof and no reason against it."""
        return self.proof is not None and not self.reasons


@dataclass(frozen=True)
class Acceptance:
    """Whether an image may be deployed, by these proofs and this certificate; if not, every reason.

    ``asked`` is the reference that was given, ``image`` what it named when it was looked at; None where it
    names nothing. ``policy`` is the digest of the policy. ``proofs`` begins with the newest that the policy
    accepts; of an image for GPUs it has one for each architecture that is asked for. ``tag`` is that of the
    publication, where there is one. ``names`` are what the policy calls its signers, by the keys'
    fingerprints. ``statements`` are all that count of what lies beside the image, for and against it;
    ``rejected`` has the others, each with the reason.
    """

    asked: ImageRef | TagRef
    image: ImageRef | None
    policy: Digest
    reasons: tuple[Reason, ...]
    proofs: tuple[Proof, ...] = ()
    certified: Certified | None = None
    tag: str = ""
    rejected: tuple[Reason, ...] = ()
    statements: tuple[Statement, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """True if there is a proof, and a certificate, and no reason against them."""
        return bool(self.proofs) and self.certified is not None and not self.reasons


@dataclass(frozen=True)
class Retraction:
    """What was taken back: the digest, its cell, what its tags name now, and what could not be done."""

    digest: Digest
    cell: str
    tags: tuple[tuple[str, Digest | None], ...] = ()
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Publication:
    """The tags of one proven digest, and which of them had to be written."""

    cell: Cell
    ref: ImageRef
    tags: tuple[str, ...]
    written: tuple[str, ...]


@dataclass(frozen=True)
class Promotion:
    """What became of an image that was to be in another place too: a registry, or a layout in a folder.

    ``tags`` are those that name it there now. ``reasons`` say why it is not there, or why a tag does not.
    """

    ref: ImageRef
    tags: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
