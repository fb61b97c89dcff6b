"""The gate, as other stages ask it: of one cell's image by today's inputs, and of any that has tags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.adapters.registry import Registry
from pipeline.compat.explain.question import cell_of
from pipeline.model import PROJECT, Decision, ImageRef, Reason, ReasonCode
from pipeline.model.errors import RegistryError
from pipeline.runner.candidates import anywhere
from pipeline.stages import audit, gate, publish

if TYPE_CHECKING:
    from pipeline.model import (
        Attestations,
        CellState,
        Digest,
        Expectations,
        Image,
        Policy,
        Proof,
        Repository,
        Spec,
    )
    from pipeline.runner.services import Services


@dataclass(frozen=True)
class MatrixGate:
    """The gate with today's policy, for any image that has tags in the destination."""

    services: Services

    @property
    def policy(self) -> Policy:
        """What the matrix asks today."""
        return self.services.matrix.policy.as_of(datetime.now(UTC))

    def holds(self, digest: Digest, attestations: Attestations) -> Proof | None:
        """The proof by which a digest keeps the tags that it has in the destination; None if it may not.

        It is judged as the cell that its newest record names, whether the matrix still has that or not.
        """
        matrix = self.services.matrix
        named = next((proof.record.cell for proof in attestations.proofs), "")
        cell = next((cell for cell in matrix.cells if cell.id == named), None) or cell_of(named)
        if cell is None:
            return None
        return gate.holds(
            cell, digest, matrix.repository, attestations, policy=self.policy, now=datetime.now(UTC)
        )


@dataclass(frozen=True)
class CellGate(MatrixGate):
    """The same, for the image of one cell."""

    spec: Spec
    image: Image
    expectations: Expectations

    def decide(self, attestations: Attestations, repository: Repository | None = None) -> Decision:
        """Whether the image may carry a tag in this repository (the matrix's), by what lies beside it."""
        spec = self.spec
        return gate.decide(
            spec.cell,
            self.image,
            repository or self.services.matrix.repository,
            attestations,
            policy=self.policy,
            basis=self.services.basis_of(spec.cell),
            inputs=audit.inputs_of(self.image.ref.digest, self.expectations, spec.waivers),
            now=datetime.now(UTC),
            before=self.before,
            speed_ratio=self.services.matrix.speed_ratio,
            support=spec.support,
        )

    @cached_property
    def before(self) -> tuple[Proof, ...]:
        """The proofs of what carries the cell's channel in the destination, where its speed is asked for."""
        services, channel = self.services, self.spec.cell.id
        if services.matrix.speed_ratio is None:
            return ()
        digest = publish.named(services.destination, (channel,)).get(channel)
        if digest is None or digest == self.image.ref.digest:
            return ()
        return services.evidence.attestations_of(services.destination, digest).proofs


def gate_of(services: Services, state: CellState) -> CellGate | None:
    """The gate for the image of a cell; None where there is no image."""
    if state.image is None or state.expectations is None:
        return None
    return CellGate(services, state.spec, state.image, state.expectations)


def judge(services: Services, ref: ImageRef) -> Decision:
    """Whether an image may carry a tag of the cell that its label names.

    Raises RegistryError where the registry does not answer.
    """
    if not services.has_registry(ref.repository):
        hint = "name a registry that has it"
        raise RegistryError(f"{ref}: there is no registry at {ref.repository.host}", hint=hint)
    label = Registry(ref.repository).config(ref).labels.get(f"{PROJECT}.cell", "")
    spec = next((spec for spec in services.matrix.specs if spec.cell.id == label), None)
    if spec is None:
        text = f"{ref} says that it is cell {label!r}, which this matrix does not have"
        return Decision(
            (Reason(ReasonCode.UNKNOWN_CELL, text, "judge it with the matrix that it was built from"),)
        )
    state = anywhere(services, spec)
    cell_gate = gate_of(services, state)
    if cell_gate is None or cell_gate.image.ref.digest != ref.digest:
        return Decision((_other_build(services, ref, spec, state.image),))
    ours = {services.matrix.staging, services.matrix.repository}
    expected = services.matrix.repository if ref.repository in ours else ref.repository
    attestations = services.evidence.attestations_of(Registry(ref.repository), ref.digest)
    return cell_gate.decide(attestations, expected)


def _other_build(services: Services, ref: ImageRef, spec: Spec, image: Image | None) -> Reason:
    """Why an image is not judged: today's inputs give another one, or none that we know of."""
    inputs, build_it = "today's lock, recipe and base", f"python -m pipeline build {spec.cell.id}"
    if image:
        text = f"{ref} is not what {spec.cell.id} builds from {inputs}: that is {image.ref}"
        return Reason(ReasonCode.OTHER_BUILD, text, build_it)
    staging = services.matrix.staging
    text = f"{ref}: no image of {spec.cell.id} from {inputs} is in {staging} to hold it against"
    return Reason(
        ReasonCode.OTHER_BUILD, text, f"name the repository it was built for: --repository; or {build_it}"
    )
