"""Staging, and what of it nobody needs any more, by the matrix."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.runner import destined
from pipeline.runner.candidates import candidate
from pipeline.stages import publish, retain

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.model import Retention
    from pipeline.runner.services import Services


def prune(services: Services, progress: Callable[[str], None], *, removes: bool) -> Retention:
    """Say what of staging nobody needs, and remove it if ``removes``.

    Raises RegistryError where the registry does not answer, ContentError where something else lies in the
    place of an image that today's inputs give.
    """
    destined.require_registry(services)
    images = (candidate(services, spec).image for spec in services.matrix.specs)
    keeper = retain.Keeper(
        services.staging,
        services.destination,
        staged=publish.tagged(services.staging),
        published=publish.tagged(services.destination),
        beside=partial(services.evidence.attestations_of, services.staging),
        current=frozenset(image.ref.digest for image in images if image),
        keep_days=services.matrix.keep_days,
    )
    return retain.remove(keeper, progress) if removes else retain.retention(keeper)
