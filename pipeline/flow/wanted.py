"""What the files of a cell's image must say: what the matrix, the lock and the build promise of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import build, compat
from pipeline.certify.wanted import Wanted
from pipeline.nouns import Budget

if TYPE_CHECKING:
    from pipeline.nouns import Lock, Spec


def wanted(spec: Spec, lock: Lock) -> Wanted:
    """What is expected of the image of a cell, whoever judges it."""
    return Wanted(
        cell=spec.cell,
        pins=tuple(sorted(lock.versions.items())),
        archs=spec.archs,
        labels=tuple(build.labels(spec, lock, compat.driver_floor(spec.cell.cuda)).items()),
        excused=lock.excused,
        budget=spec.budget or Budget(),
    )
