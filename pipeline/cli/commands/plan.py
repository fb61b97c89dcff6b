"""``plan``: every cell with its state, and what is left to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.cli import exit_codes, options, output
from pipeline.cli.command import Command
from pipeline.model import Goal

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    options.add_cells(parser)
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)
    parser.add_argument(
        "--github",
        nargs="?",
        const="all",
        choices=("all", "build", "prove"),
        metavar="JOBS",
        help="print a strategy.matrix for GitHub Actions; JOBS: all, build (without a GPU), prove (what is "
        "left to a GPU)",
    )


def _run(given: Options) -> int:
    from pipeline import matrix
    from pipeline.cli import context
    from pipeline.report import planned
    from pipeline.stages import plan

    with context.opened(given) as runner:
        specs, pruned = matrix.survey(runner.services.matrix, given.select)
        statuses = runner.run(Goal.PLAN, specs)
    if given.github:
        print(json.dumps(plan.github(statuses, given.github)))  # on one line, as GITHUB_OUTPUT takes it
    elif given.json:
        output.print_statuses((*statuses, *map(plan.left_out, pruned)), as_json=True)
    else:
        output.print_text(planned.text_of(statuses, pruned))
    output.narrate_failures(statuses, output.is_inconclusive)
    output.narrate_outliers(statuses)
    return exit_codes.of_observing(statuses)


COMMAND = Command(
    "plan",
    summary="list every cell with its state and what is left to do",
    description=(
        "Reads the matrix, the locks and the registry, and changes nothing. Each cell is shown with the "
        "verdict of compatibility, its state, what is left to do and what that takes; then every "
        "combination of the axes that becomes no cell, with the reason."
    ),
    examples=(
        ("plan", "all cells of matrix.yaml"),
        ("plan '*-cu130-*' --json", "the CUDA 13.0 cells, for a program"),
        ("plan --github --repository ghcr.io/example/vllm", "a job for each cell, of a workflow"),
        ("plan --github=prove", "only those that wait for a GPU and were rehearsed"),
    ),
    add_options=_add_options,
    run=_run,
)
