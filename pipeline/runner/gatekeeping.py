"""The gate, as other stages ask it: of one cell's image by today's inputs, and of any that has tags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import suite
from pipeline.compat.question import cell_of
from pipeline.runner.expectations import expectations_of
from pipeline.stages import audit, gate

if TYPE_CHECKING:
    from pipeline.model import Attestations, Decision, Digest, Image, Lock, Proof, Repository, Spec
    from pipeline.runner.services import Services


@dataclass(frozen=True)
class Keeping:
    """What the gate says today of images that have tags in the destination."""

    machine: Services

    def holds(self, digest: Digest, beside: Attestations) -> Proof | None:
        """The proof by which a digest keeps the tags that it has in the destination; None if it may not.

        It is judged as the cell that its newest record names, whether the matrix still has that or not.
        """
        matrix = self.machine.matrix
        named = next((proof.record.cell for proof in beside.proofs), "")
        cell = next((one for one in matrix.cells if one.id == named), None) or cell_of(named)
        if cell is None:
            return None
        return gate.holds(
            cell, digest, matrix.repository, beside, policy=matrix.policy, now=datetime.now(UTC)
        )


@dataclass(frozen=True)
class Judging(Keeping):
    """The same, and what it says of the image of one cell."""

    spec: Spec
    lock: Lock
    image: Image

    def of(self, beside: Attestations, repository: Repository) -> Decision:
        """The image, published in ``repository``, by what lies beside it anywhere."""
        spec = self.spec
        return gate.decide(
            spec.cell,
            self.image,
            repository,
            beside,
            policy=self.machine.matrix.policy,
            suite=suite.digest(),
            model=self.machine.model_digest_of(spec.cell),
            inputs=audit.inputs_of(self.image.ref.digest, expectations_of(spec, self.lock), spec.waivers),
            now=datetime.now(UTC),
        )

    def ours(self, beside: Attestations) -> Decision:
        """The image, by what lies beside it in the destination or in staging."""
        return self.of(beside, self.machine.matrix.repository)
