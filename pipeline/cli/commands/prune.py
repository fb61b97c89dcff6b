"""``prune``: staging is rid of what nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model.errors import GOOD, REFUSED
from pipeline.report import retention as told

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--remove", action="store_true", help="remove it; without this it is only said")
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given) as runner:
        retention = runner.prune(output.narrate, removes=given.remove)
    if given.json:
        output.print_json({"schema": report.SCHEMA, **told.as_json(retention)})
    else:
        output.print_text("".join(f"{line}\n" for line in told.lines(retention)))
    for reason in retention.reasons:
        output.narrate(reason)
    if retention.removed:
        output.narrate("the registry frees the bytes when it collects its garbage")
    elif retention.going and not given.remove:
        output.narrate("nothing was removed\nhint: python -m pipeline prune --remove")
    return REFUSED if retention.reasons else GOOD


COMMAND = Command(
    "prune",
    summary="remove from staging what nobody needs",
    description=(
        "An image stays in staging while today's inputs give it, while a tag of the destination names it, "
        "while somebody has given it a tag of their own there, and for `publish: keep_days:` days after the "
        "last statement beside it. What nobody signed anything of stays too: it has no age. Statements are "
        "never removed: a failure or a yank outlives its image. The destination is only read."
    ),
    examples=(
        ("prune", "what would go, and how many bytes that is"),
        ("prune --remove", "remove it"),
        ("prune --json", "for a program"),
    ),
    add_options=_add_options,
    run=_run,
)
