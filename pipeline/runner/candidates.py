"""The image in staging that today's inputs give: found by its build key, and only if all of it is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.adapters.recipe import IMAGES
from pipeline.adapters.registry import ContentError
from pipeline.model import CellState, Image
from pipeline.runner.expectations import expectations_of
from pipeline.stages import build
from pipeline.stages import lock as locks

if TYPE_CHECKING:
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


def with_lock(services: Services, state: CellState, lock: Lock, *, fresh: bool) -> CellState:
    """The state with this lock, what it makes the image promise, and that image, if staging has it.

    With ``fresh`` staging is not looked at.
    """
    state = replace(state, lock=lock, expectations=expectations_of(state.spec, lock))
    if fresh or state.base is None:
        return state
    return replace(state, image=_image_in_staging(services, state.spec, lock, state.base))


def _image_in_staging(services: Services, spec: Spec, lock: Lock, base: ImageRef) -> Image | None:
    """The candidate under the build key's tag, if all of it is there and it says what it is."""
    driver = compat.driver_floor(spec.cell.cuda)
    build_key = build.key(spec, lock, base, driver, IMAGES)
    staging = services.staging
    digest = staging.digest_of(build.home(build_key, staging.repository).tag)
    if digest is None:
        return None
    ref = staging.repository.at(digest)
    try:
        if not staging.intact(ref):
            return None
        labels = staging.config(ref).labels
    except ContentError as error:
        what = f"{ref} is in the place of the image of {spec.cell.id}: {error.what}"
        hint = f"python -m pipeline build --fresh {spec.cell.id} replaces it"
        raise ContentError(what, hint=hint) from error
    if not build.labels(spec, lock, driver).items() <= labels.items():
        return None
    return Image(spec.cell, ref, build_key, lock.digest)
