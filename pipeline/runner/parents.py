"""Which image of a cell another one was made from, its layers untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.adapters.registry import Registry
from pipeline.model import PROJECT, Parent
from pipeline.runner.candidates import candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import ImageRef
    from pipeline.runner.services import Services
    from pipeline.runner.subjects import Subject

MAX_CANDIDATES = 50
"""Images of one cell that are looked at: each costs a manifest and a configuration."""


def parent_of(services: Services, subject: Subject) -> Parent | None:
    """The image of the cell that a subject's label names, whose layers are the lowest of the subject's.

    They are compared as unpacked, so a pull and a push change nothing. None where no image of that cell,
    published or in staging, is below it, and where it is such an image itself. Raises RegistryError.
    """
    named = subject.labels.get(f"{PROJECT}.cell")
    if not named:
        return None
    for image in _candidates(services, named):
        layers = Registry(image.repository).config(image).diff_ids
        if image.digest == subject.digest:
            return None
        if layers and subject.diff_ids[: len(layers)] == layers:
            return Parent(image=str(image), cell=named, layers=len(layers))
    return None


def _candidates(services: Services, cell: str) -> Iterator[ImageRef]:
    """The images of a cell: those that tags name, the last first, and today's in staging."""
    destination = services.matrix.repository
    if services.has_registry(destination):
        tags = services.destination.tags(cell)[-MAX_CANDIDATES:]
        digests = (services.destination.digest_of(tag) for tag in reversed(tags))
        yield from dict.fromkeys(destination.at(digest) for digest in digests if digest)
    spec = next((spec for spec in services.matrix.specs if spec.cell.id == cell), None)
    if spec and (image := candidate(services, spec).image):
        yield image.ref
