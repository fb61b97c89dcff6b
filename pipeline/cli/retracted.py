"""What the commands that take something back have in common: their options, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import options, output
from pipeline.model import to_json
from pipeline.model.errors import GOOD, REFUSED

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options
    from pipeline.model import Retraction


def add_options(parser: ArgumentParser, why: str) -> None:
    """``why`` is what the reason is for."""
    parser.add_argument("--reason", required=True, metavar="TEXT", help=f"{why}; it is signed with it")
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def told(retraction: Retraction, became: str, given: Options) -> int:
    """Print it, and return the exit code: refused where something could not be done."""
    if given.json:
        output.print_json({"schema": report.SCHEMA, "became": became, **to_json(retraction)})
    else:
        if not retraction.reasons or retraction.tags:
            output.print_text(f"{became}: {retraction.digest} of {retraction.cell}\n")
        for tag, digest in retraction.tags:
            output.print_text(f"  {tag} names {digest or 'nothing: it is gone'}\n")
    for reason in retraction.reasons:
        output.narrate(reason)
    return REFUSED if retraction.reasons else GOOD
