"""``verify``: the suite in each image, or in an environment on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import exit_codes, options, output
from pipeline.cli.command import Command
from pipeline.model import Goal, State

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    options.add_cells(parser)
    parser.add_argument(
        "--python", type=Path, metavar="PATH", help="try this interpreter's environment instead of an image"
    )
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_find_links(parser)
    options.add_fresh(parser, "try again what is proven; the image stays")
    options.add_require_all(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given, signs=True, reports=True) as runner:
        specs = context.selected(runner, given)
        statuses = (runner.try_out(given.python),) if given.python else runner.run(Goal.VERIFY, specs)
    output.narrate_failures(statuses, output.needs_attention)
    report.write(statuses, context.report_folder(given))
    output.print_statuses(statuses, as_json=given.json)
    return exit_codes.of_proving(
        statuses, goal={State.PROVEN, State.PUBLISHED}, require_all=given.require_all
    )


COMMAND = Command(
    "verify",
    summary="prove images by real inference, building what is missing",
    description=(
        "Builds what is missing, runs every check of the suite in that very image, and signs what it saw. "
        "A cell that this machine cannot prove is pending: neither passed nor failed; if its image is there "
        "and lacks but a GPU, all that needs none is rehearsed. With --python the "
        "same suite runs in an environment on this machine; its record never counts towards a tag. The "
        "report is written to .state/report."
    ),
    examples=(
        ("verify", "every cell that this machine can prove"),
        ("verify '*-cpu-*' --require-all", "the CPU cells; one that stays pending is a failure"),
        ("verify --python .venv/bin/python", "the environment of this interpreter"),
    ),
    add_options=_add_options,
    run=_run,
)
