"""Whole numbers in untrusted text: no more digits than a size or an id has."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"[0-9]{1,18}")


def whole(text: str) -> int | None:
    """The number of these ASCII digits, of which there are at most 18; None for anything else.

    ``int`` takes other digits too, and refuses thousands of them by an error.
    """
    return int(text) if _WHOLE.fullmatch(text) else None
