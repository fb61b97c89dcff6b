"""The attestations of an image: all of its kinds of statements whose signatures hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from pipeline.model.references import Digest
from pipeline.model.transitions import Life

if TYPE_CHECKING:
    from pipeline.model.advisories import Scan
    from pipeline.model.certificates import Certificate
    from pipeline.model.documents import Documented, DocumentKind
    from pipeline.model.reasons import Reason
    from pipeline.model.records import Record
    from pipeline.model.rehearsals import Rehearsal
    from pipeline.model.transitions import Transition


@dataclass(frozen=True)
class Links:
    """The attestations that an image had when another one was signed, by the digests of their manifests.

    ``follows`` are the newest ones at that time, ``lost`` those that an attestation named and that were gone.
    So one that is deleted later is missed, until the image is tried again without it.
    """

    follows: tuple[Digest, ...] = ()
    lost: tuple[Digest, ...] = ()


@dataclass(frozen=True)
class Proof:
    """A record whose signature held, who signed it, and the digest of the manifest that carries it."""

    record: Record
    signer: str
    manifest: Digest
    links: Links = field(default=Links())

    @property
    def day(self) -> str:
        """The day on which it was made, as its signer says: "2026-11-20"."""
        return self.record.finished[:10]

    @property
    def subject(self) -> Digest:
        """The image that it is about."""
        return Digest(self.record.digest)

    @property
    def age(self) -> tuple[datetime, int]:
        """The order of proofs of one image: by the end of the suite, then by the attempt."""
        return self.record.age

    @property
    def order(self) -> tuple[tuple[datetime, int], Digest]:
        """The same, and for two of one age what everybody agrees on."""
        return self.age, self.manifest


@dataclass(frozen=True)
class Certified:
    """A certificate whose signature held, who signed it, and the digest of the manifest that carries it."""

    certificate: Certificate
    signer: str
    manifest: Digest
    links: Links = field(default=Links())

    @property
    def day(self) -> str:
        """The day on which it was made, as its signer says: "2026-11-20"."""
        return self.certificate.created[:10]

    @property
    def subject(self) -> Digest:
        """The image that it is about."""
        return Digest(self.certificate.digest)

    @property
    def order(self) -> tuple[str, Digest]:
        """What orders certificates of one image; for two of one age what everybody agrees on."""
        return self.certificate.created, self.manifest


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal whose signature held, who signed it, and the digest of the manifest that carries it."""

    rehearsal: Rehearsal
    signer: str
    manifest: Digest
    links: Links = field(default=Links())

    @property
    def day(self) -> str:
        """The day on which it was made, as its signer says: "2026-11-20"."""
        return self.rehearsal.finished[:10]

    @property
    def subject(self) -> Digest:
        """The image that it is about."""
        return Digest(self.rehearsal.digest)

    @property
    def order(self) -> tuple[datetime, Digest]:
        """What orders rehearsals of one image; for two of one age what everybody agrees on."""
        return self.rehearsal.ended, self.manifest


@dataclass(frozen=True)
class Declared:
    """A transition whose signature held, who signed it, and the digest of the manifest that carries it."""

    transition: Transition
    signer: str
    manifest: Digest
    links: Links = field(default=Links())

    @property
    def day(self) -> str:
        """The day on which it was made, as its signer says: "2026-11-20"."""
        return self.transition.at[:10]

    @property
    def subject(self) -> Digest:
        """The image that it is about."""
        return Digest(self.transition.digest)

    @property
    def order(self) -> tuple[datetime, Digest]:
        """What orders transitions of one image; for two of one age what everybody agrees on."""
        return self.transition.moment, self.manifest


@dataclass(frozen=True)
class Scanned:
    """A scan whose signature held, who signed it, and the digest of the manifest that carries it."""

    scan: Scan
    signer: str
    manifest: Digest
    links: Links = field(default=Links())

    @property
    def day(self) -> str:
        """The day on which it was made, as its signer says: "2026-11-20"."""
        return self.scan.moment.date().isoformat()

    @property
    def subject(self) -> Digest:
        """The image that it is about."""
        return Digest(self.scan.digest)

    @property
    def order(self) -> tuple[datetime, Digest]:
        """What orders scans of one image; for two of one age what everybody agrees on."""
        return self.scan.moment, self.manifest


Statement = Proof | Certified | Rehearsed | Declared | Scanned
"""All that may be signed for an image, or against it."""

Signed: TypeAlias = "Statement | Documented"
"""All that may be signed of an image: documents speak neither for it nor against it."""


@dataclass(frozen=True)
class Attestations:
    """What lies beside an image, the newest first; why anything else there counts for nothing; what is gone.

    ``missing`` are statements that others name as seen before them, and that are not there any more.
    ``unlisted`` are statements that the lists lack by which other programs find them. ``strangers`` are the
    keys that statements name as their signers' which none of ours signed; nobody vouches for that.
    """

    proofs: tuple[Proof, ...] = ()
    certificates: tuple[Certified, ...] = ()
    rejected: tuple[Reason, ...] = ()
    missing: tuple[Digest, ...] = ()
    unlisted: tuple[Digest, ...] = ()
    rehearsals: tuple[Rehearsed, ...] = ()
    strangers: tuple[str, ...] = ()
    transitions: tuple[Declared, ...] = ()
    documents: tuple[Documented, ...] = ()
    scans: tuple[Scanned, ...] = ()

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All that counts for the image or against it, signed by a trusted key."""
        return (*self.proofs, *self.certificates, *self.rehearsals, *self.transitions, *self.scans)

    @property
    def signed(self) -> tuple[Signed, ...]:
        """All that is signed by a trusted key."""
        return (*self.statements, *self.documents)

    def newest_document(self, kind: DocumentKind) -> Documented | None:
        """The newest document of this kind."""
        return next((one for one in self.documents if one.document.kind is kind), None)

    @property
    def yanked(self) -> Declared | None:
        """The first transition by which it was yanked, in whatever repository; None where it was not."""
        return min(self._that_became(Life.YANKED), key=lambda each: each.order, default=None)

    def moved_back_since(self, proof: Proof) -> Declared | None:
        """The newest transition by which a tag was moved back from it, if that came after a proof."""
        newest = max(self._that_became(Life.SUPERSEDED), key=lambda each: each.order, default=None)
        finished = datetime.fromisoformat(proof.record.finished)
        return newest if newest and newest.transition.moment >= finished else None

    def _that_became(self, life: Life) -> tuple[Declared, ...]:
        return tuple(each for each in self.transitions if each.transition.life is life)

    def newest_record_of(self, image: Digest) -> Record | None:
        """The newest record of this very image."""
        proofs = (proof for proof in self.proofs if proof.subject == image)
        newest = max(proofs, key=lambda proof: proof.order, default=None)
        return newest.record if newest else None

    @property
    def links(self) -> Links:
        """What the next statement about this image names: the newest of these, and what is missing."""
        older = {digest for statement in self.statements for digest in statement.links.follows}
        newest = sorted({statement.manifest for statement in self.statements} - older)
        return Links(tuple(newest), self.missing)
