"""What lies in a cell's way in the registry is taken away: junk beside its image, tags that may not stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.adapters.registry import Registry
from pipeline.runner.candidates import candidate
from pipeline.runner.declaring import announcer
from pipeline.runner.gatekeeping import MatrixGate
from pipeline.stages import attest, publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.model import ImageRef, Reason, Spec
    from pipeline.runner.services import Services


def repair(services: Services, spec: Spec, progress: Callable[[str], None]) -> tuple[Reason, ...]:
    """Make what is signed beside a cell's image readable, in both places; take off tags that may not stay.

    Returns what could not be mended.
    """
    staging, destination, evidence = services.staging, services.destination, services.evidence
    image = candidate(services, spec).image
    if image:
        clean(services, image.ref, progress)
        if destination.digest_of(str(image.ref.digest)):
            clean(services, destination.repository.at(image.ref.digest), progress)
            publish.carry(image, destination, staging, evidence, progress)
            publish.carry(image, staging, destination, evidence, progress)
    immutable = (image.immutable_tag,) if image else ()
    return publish.withdraw(
        destination,
        spec.cell,
        (*immutable, *services.matrix.channels_of(spec.cell)),
        evidence=evidence,
        gate=MatrixGate(services),
        on_step=progress,
        announce=announcer(services, spec.cell.id, progress),
        signatures=services.signatures,
    )


def clean(services: Services, ref: ImageRef, progress: Callable[[str], None]) -> None:
    """Make what is signed beside any image readable again."""
    attest.clean(Registry(ref.repository), ref.digest, services.evidence.trusted, progress)
