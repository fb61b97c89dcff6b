"""``history``: what a tag named, when, and why it moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model.errors import GOOD, REFUSED
from pipeline.report import life

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("tag", metavar="TAG", help="a tag of the destination")
    parser.add_argument(
        "--at",
        metavar="DAY",
        help="print the digest that it named at the end of this day (UTC), or at 2026-11-20T12:00:00Z",
    )
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context

    moment = options.moment(given.at) if given.at else None
    with context.opened(given) as runner:
        history = runner.history(given.tag)
    if moment:
        named = history.named_at(moment)
        if named is None:
            output.narrate(f"nobody signed that {history.tag} named anything then")
            return REFUSED
        output.print_text(f"{named}\n")
        return GOOD
    if given.json:
        output.print_json({"schema": report.SCHEMA, **life.as_json(history)})
    else:
        output.print_text("".join(f"{line}\n" for line in life.lines(history)))
    if not history.is_told:
        output.narrate(
            f"{history.tag} does not name what the last move says: it was moved, and nobody signed why\n"
            "hint: python -m pipeline repair sets tags right; if the image is good, publish says so again"
        )
    return GOOD if history.is_told else REFUSED


COMMAND = Command(
    "history",
    summary="say what a tag named, when, and why it moved",
    description=(
        "Reads the signed transitions beside the digests of the destination; there is no other database. "
        "Exit code 1 where the tag does not name what the last of them says."
    ),
    examples=(
        ("history cu130", "every move: when, from where to where, who, why"),
        ("history cu130 --at 2026-11-20", "the digest that it named on that day"),
        ("history cu130 --json", "with every statement's digest and key"),
    ),
    add_options=_add_options,
    run=_run,
)
