"""Days and hours on which no tag is given, whatever is proven: a change freeze.

It is no matter of the gate: what is proven stays so, what is published may be deployed, and what is taken
back is taken back at any hour.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from pipeline.model import Reason, ReasonCode, freezes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipeline.model import Cell, Freeze


def frozen(cell: Cell, closed: Sequence[Freeze], now: datetime) -> Reason | None:
    """Why a cell gets no tag at this time, and when that ends; None where it may. ``now`` has a time zone."""
    moment = now.astimezone(UTC)
    freeze = freezes.at(closed, moment)
    if freeze is None:
        return None
    opens = freezes.opening(closed, moment)
    when = f"until {opens:%Y-%m-%d %H:%M} UTC" if opens else "for good"
    text = f"{cell.id}: `publish: freeze:` gives no tag now, {when}: {freeze.reason}"
    again = f"python -m pipeline publish {cell.id}"
    hint = f"then {again}" if opens else "take the rule out of matrix.yaml"
    return Reason(ReasonCode.FROZEN, text, f"{hint}; what must be taken back needs not wait: yank, rollback")
