"""What the files of a cell's image must say: what the matrix, the lock and the build promise of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.model import Budget
from pipeline.stages import build
from pipeline.stages.audit.expectations import Expectations

if TYPE_CHECKING:
    from pipeline.model import Lock, Spec


def wanted(spec: Spec, lock: Lock) -> Expectations:
    """What is expected of the image of a cell, whoever judges it."""
    return Expectations(
        cell=spec.cell,
        pins=tuple(sorted(lock.versions.items())),
        archs=spec.archs,
        labels=tuple(build.labels(spec, lock, compat.driver_floor(spec.cell.cuda)).items()),
        excused=lock.excused,
        budget=spec.budget or Budget(),
    )
