"""What a cell's image must be: what the matrix, the lock and the build promise of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.model import Budget, Expectations
from pipeline.stages import build

if TYPE_CHECKING:
    from pipeline.model import Lock, Spec


def expectations_of(spec: Spec, lock: Lock) -> Expectations:
    """What is expected of the image of a cell, whoever judges it."""
    return Expectations(
        cell=spec.cell,
        torch=lock.versions["torch"],
        pins=tuple(sorted(lock.versions.items())),
        archs=spec.archs,
        labels=tuple(build.labels(spec, lock, compat.driver_floor(spec.cell.cuda)).items()),
        excused=lock.excused,
        budget=spec.budget or Budget(),
    )
