"""The image that today's inputs give: found by its build key, and only if all of it is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.adapters.recipe import IMAGES
from pipeline.adapters.registry import ContentError
from pipeline.model import CellState, Image, immutable_tag
from pipeline.runner.expectations import expectations_of
from pipeline.stages import build
from pipeline.stages import lock as locks

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry
    from pipeline.model import ImageRef, Lock, Spec
    from pipeline.runner.services import Services


def candidate(services: Services, spec: Spec, *, fresh: bool = False) -> CellState:
    """A cell's lock and base, and the image in staging that is built from them, as far as they are there."""
    has_staging = services.has_registry(services.matrix.staging)
    state = CellState(
        spec,
        base=services.base_of(spec) if has_staging else None,
        channels=services.matrix.channels_of(spec.cell),
        cannot_prove=services.why_not(spec.cell),
        can_rehearse=services.can_rehearse(spec.cell),
    )
    lock = locks.read(spec, services.settings.locks)
    return with_lock(services, state, lock, fresh=fresh) if lock else state


def anywhere(services: Services, spec: Spec) -> CellState:
    """The same; where staging has no such image, with the one that is published."""
    state = candidate(services, spec)
    return state if state.image else published(services, state)


def with_lock(services: Services, state: CellState, lock: Lock, *, fresh: bool) -> CellState:
    """The state with this lock, what it makes the image promise, and that image, if staging has it.

    With ``fresh`` staging is not looked at.
    """
    state = replace(state, lock=lock, expectations=expectations_of(state.spec, lock))
    if fresh or state.base is None:
        return state
    return replace(state, image=_image(services, state.spec, lock, state.base, services.staging))


def published(services: Services, state: CellState) -> CellState:
    """The state with the image that has the cell's immutable tag in the destination, if all of it is there.

    Staging may have lost it: what lies beside it still says whether it is proven.
    """
    if state.lock is None or state.base is None:
        return state
    return replace(state, image=_image(services, state.spec, state.lock, state.base, services.destination))


def _image(services: Services, spec: Spec, lock: Lock, base: ImageRef, registry: Registry) -> Image | None:
    """The image of today's inputs in this place, if all of it is there and it says what it is."""
    driver = compat.driver_floor(spec.cell.cuda)
    build_key = build.key(spec, lock, base, driver, IMAGES)
    is_staging = registry.repository == services.matrix.staging
    digest = registry.digest_of(build_key if is_staging else immutable_tag(spec.cell, build_key))
    if digest is None:
        return None
    ref = registry.repository.at(digest)
    try:
        if not registry.intact(ref):
            return None
        labels = registry.config(ref).labels
    except ContentError as error:
        what = f"{ref} is in the place of the image of {spec.cell.id}: {error.what}"
        hint = f"python -m pipeline build --fresh {spec.cell.id} replaces it"
        raise ContentError(what, hint=hint) from error
    if not build.labels(spec, lock, driver).items() <= labels.items():
        return None
    return Image(spec.cell, ref, build_key, lock.digest)
