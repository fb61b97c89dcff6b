"""What the commands say that bring images to another place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import output
from pipeline.model.errors import GOOD, REFUSED
from pipeline.report import promoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cli.options import Options
    from pipeline.model import Promotion


def told(promotions: Sequence[Promotion], became: str, given: Options) -> int:
    """Print what became of each image, and return the exit code: refused where one, or a tag, is lacking."""
    if given.json:
        output.print_json({"schema": report.SCHEMA, **promoted.as_json(promotions)})
    else:
        output.print_text("".join(f"{line}\n" for line in promoted.lines(promotions, became)))
    reasons = [reason for promotion in promotions for reason in promotion.reasons]
    for reason in reasons:
        output.narrate(reason)
    return REFUSED if reasons else GOOD
