"""What became of images that were to be in another place too, in a line for each, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.model import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.model import Promotion


def lines(promotions: Sequence[Promotion], became: str) -> Iterator[str]:
    """One line for each image: the tags that name it there, or the first reason why something is lacking."""
    for promotion in promotions:
        if promotion.reasons:
            more = f" (and {len(promotion.reasons) - 1} more)" if len(promotion.reasons) > 1 else ""
            yield f"no: {promotion.ref}: {promotion.reasons[0].text}{more}"
        else:
            yield f"{became}: {promotion.ref}: {', '.join(promotion.tags) or 'by its digest alone'}"


def as_json(promotions: Sequence[Promotion]) -> dict[str, Any]:
    """The same for programs."""
    return {"images": [to_json(promotion) for promotion in promotions]}
