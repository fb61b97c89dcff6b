"""Which image of a cell a tag may go to, when it leaves another: one whose evidence holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipeline.stages.publish.rivals import order

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pipeline.adapters.registry import Registry
    from pipeline.model import Attestations, Cell, Digest, Proof
    from pipeline.stages.publish.work import Evidence, TagGate


@dataclass(frozen=True)
class Heirs:
    """What lies beside some images, and the proof by which each may carry a tag, if it may."""

    beside: Mapping[Digest, Attestations]
    proofs: Mapping[Digest, Proof | None]

    @classmethod
    def of(
        cls, digests: Collection[Digest], destination: Registry, evidence: Evidence, gate: TagGate
    ) -> Self:
        """Read afresh. Raises RegistryError where the registry does not answer."""
        beside = {digest: evidence.attestations_of(destination, digest) for digest in sorted(digests)}
        return cls(beside, {digest: gate.holds(digest, each) for digest, each in beside.items()})

    def holds(self, digest: Digest) -> bool:
        """Whether the evidence of an image holds."""
        return self.proofs.get(digest) is not None

    def newest(self, cell: Cell, before: Digest | None = None) -> Digest | None:
        """The newest image of the cell whose evidence holds, and from which no tag was moved back since then.

        With ``before`` the newest that is older than that one, which holds or not.
        """
        good = {
            digest: proof
            for digest, proof in self.proofs.items()
            if proof and proof.record.cell == cell.id and not self.beside[digest].moved_back_since(proof)
        }
        if before is not None:
            last = self._order_of(before)
            good = {digest: proof for digest, proof in good.items() if last and order(digest, proof) < last}
        return max(good, key=lambda digest: order(digest, good[digest]), default=None)

    def _order_of(self, digest: Digest) -> tuple[object, ...] | None:
        """Where an image stands by its newest proof, whatever that says."""
        proofs = self.beside[digest].proofs if digest in self.beside else ()
        return order(digest, proofs[0]) if proofs else None
