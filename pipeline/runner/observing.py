"""What lock files, registry and gate say of one cell: looked up once, and handed on from there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.runner.candidates import candidate
from pipeline.runner.gatekeeping import gate_of
from pipeline.stages import publish

if TYPE_CHECKING:
    from pipeline.model import CellState, Spec
    from pipeline.runner.services import Services


def observe(services: Services, spec: Spec, *, fresh: bool = False) -> CellState:
    """All that is known of a cell. With ``fresh`` an image that is in staging is not looked at.

    The engine is not asked. Raises RegistryError where the registry does not answer, ContentError where
    what lies in the image's place is no image.
    """
    state = candidate(services, spec, fresh=fresh)
    return observe_image(services, state) if state.image else state


def observe_image(services: Services, state: CellState) -> CellState:
    """The state with what lies beside its image, what its tags name, and what the gate says of that."""
    if state.image is None:
        return state
    digest, destination = state.image.ref.digest, services.destination
    tags = publish.named(destination, (state.image.immutable_tag, *state.channels))
    state = replace(
        state,
        attestations=services.evidence.attestations_of(services.staging, digest),
        tags=tuple(tags.items()),
    )
    return observe_destination(services, state)


def observe_destination(services: Services, state: CellState) -> CellState:
    """The state with what lies beside its image in the destination, where a tag names it there."""
    if state.image is None or not state.carried:
        return judged(services, state)
    digest, destination = state.image.ref.digest, services.destination
    return judged(
        services,
        replace(
            state,
            published=services.evidence.attestations_of(destination, digest),
            is_complete=destination.intact(destination.repository.at(digest)),
            is_signed=not services.can_sign or services.signatures.has(digest),
        ),
    )


def judged(services: Services, state: CellState) -> CellState:
    """The state with the gate's decisions on what it holds; nothing is looked up for them."""
    gate = gate_of(services, state)
    if gate is None or state.image is None:
        return state
    return replace(
        state,
        decision=gate.decide(state.attestations),
        published_decision=gate.decide(state.published) if state.carried else None,
        keeps_tags=gate.holds(state.image.ref.digest, state.published) is not None,
    )
