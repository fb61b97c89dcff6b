"""What of staging stays and what goes, as lines and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.formats import units
from pipeline.model import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Retention


def lines(retention: Retention) -> Iterator[str]:
    """One line for each image, the oldest first, then what it comes to."""
    removed = {*retention.removed}
    for one in retention.staged:
        state = "stays" if one.stays else "removed" if one.image in removed else "goes"
        yield f"{state:7}  {one.last or 'undated':10}  {one.image.digest}  {one.stays}".rstrip()
    going, count = len(retention.going), len(retention.staged)
    yield f"{going} of {count} images are needed by nobody: {units.size(retention.freed)} of their own"


def as_json(retention: Retention) -> dict[str, Any]:
    """The same for programs."""
    return {
        "staged": [to_json(one) for one in retention.staged],
        "freed": retention.freed,
        "removed": [to_json(image) for image in retention.removed],
        "reasons": [to_json(reason) for reason in retention.reasons],
    }
