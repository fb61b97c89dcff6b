"""Budget: the size of the image, against the matrix and against the last proven image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.formats import units
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.sizes import sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Sizes
    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="budget")

GROWTH = 0.1
"""By how much an image may outgrow the last proven one of its cell without a warning."""

_MAX_NAMES = 3


def limits(image: ImageModel) -> Iterator[ImageFinding]:
    """Both sizes are within the budget."""
    now, budget = sizes(image.inventory), image.expected.budget
    for what, size, limit in (
        ("compressed", now.compressed, budget.compressed),
        ("installed", now.installed, budget.installed),
    ):
        if limit is not None and size > limit:
            yield _finding(
                severity=Severity.ERROR,
                text=f"its {what} size is {units.size(size)}, the budget is {units.size(limit)}",
                why=f"every host pulls and keeps it; the largest: {_largest(now)}",
                hint="leave out what is not needed (`omit:`, `trim:`), or raise the budget in matrix.yaml",
            )


def growth(image: ImageModel) -> Iterator[ImageFinding]:
    """It has not outgrown the last proven image of its cell."""
    last, now = image.expected.last, sizes(image.inventory)
    if last is None:
        return
    for what, size, before in (
        ("compressed", now.compressed, last.compressed),
        ("installed", now.installed, last.installed),
    ):
        if before and size > before * (1 + GROWTH):
            yield _finding(
                severity=Severity.WARNING,
                text=f"its {what} size is {units.size(size)}, the last proven image has {units.size(before)}",
                why=f"it grew by {size / before - 1:.0%}, more than {GROWTH:.0%}: {_grown(now, last)}",
                hint="check what is new; if it is intended, there is nothing to do",
            )


def _largest(now: Sizes) -> str:
    rows = sorted(now.packages, key=lambda package: -package.installed)[:_MAX_NAMES]
    return (
        ", ".join(f"{package.name} {units.size(package.installed)}" for package in rows) or "no package found"
    )


def _grown(now: Sizes, last: Sizes) -> str:
    """The packages that grew most."""
    before = {package.name: package.installed for package in last.packages}
    grown = {package.name: package.installed - before.get(package.name, 0) for package in now.packages}
    rows = sorted((-more, name) for name, more in grown.items() if more > 0)[:_MAX_NAMES]
    return ", ".join(f"{name} +{units.size(-more)}" for more, name in rows) or "no package grew"
