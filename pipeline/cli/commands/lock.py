"""``lock``: one wheel, by hash, for every dependency of a cell."""

from __future__ import annotations

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
    options.add_find_links(parser)
    options.add_json(parser)
    options.add_repository(parser, is_shown=False)  # one call of nox hands the same words to every stage


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given) as runner:
        statuses = runner.run(Goal.LOCK, context.selected(runner, given))
    output.narrate_failures(statuses, output.is_inconclusive)
    if given.json:
        output.print_statuses(statuses, as_json=True)
    return exit_codes.of_observing(statuses)


COMMAND = Command(
    "lock",
    summary="resolve every dependency of a cell to one wheel, by hash",
    description=(
        "Asks the index which wheels fit together, and writes locks/CELL.txt: one version and one hash "
        "for each package. Review that file like code. A cell that has a lock gets a new one."
    ),
    examples=(
        ("lock", "every cell of matrix.yaml"),
        ("lock vllm0.32.0-torch2.13.0-cpu-py3.11", "one cell"),
        ("lock '*-cpu-*' --find-links wheels", "the CPU cells, from wheels of your own first"),
    ),
    add_options=_add_options,
    run=_run,
)
