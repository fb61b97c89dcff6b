"""``report``: Markdown, JUnit and JSON of what the registry says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
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


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given, reports=True) as runner:
        statuses = runner.run(Goal.REPORT, context.selected(runner, given))
    report.write(statuses, context.report_folder(given))
    if given.json:
        output.print_statuses(statuses, as_json=True)
    else:
        output.print_text(report.markdown(statuses))
    output.narrate_failures(statuses, output.is_inconclusive)
    output.narrate_outliers(statuses)
    return exit_codes.of_observing(statuses)


COMMAND = Command(
    "report",
    summary="write Markdown, JUnit and JSON of what the registry says",
    description=(
        "Writes report.md, report.json and junit/CELL.xml into .state/report, from the attestations "
        "beside the images, and prints the Markdown. Builds and tries nothing."
    ),
    examples=(
        ("report", "every cell of matrix.yaml"),
        ('report >>"$GITHUB_STEP_SUMMARY"', "on the page of a workflow's run"),
        ("report '*-cpu-*' --json", "the CPU cells, for a program"),
    ),
    add_options=_add_options,
    run=_run,
)
