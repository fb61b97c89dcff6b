"""``publish``: tags for proven digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import exit_codes, options, output
from pipeline.cli.command import Command
from pipeline.model import Goal, State
from pipeline.model.errors import TagproofError
from pipeline.report import difference

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator, Sequence

    from pipeline.cli.options import Options
    from pipeline.model import Status
    from pipeline.runner.running import Runner


def _add_options(parser: ArgumentParser) -> None:
    options.add_cells(parser)
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_find_links(parser, is_shown=False)  # one call of nox hands the same words to every stage
    options.add_require_all(parser)
    parser.add_argument(
        "--all-or-nothing",
        action="store_true",
        help="these cells are one release: where one may get no tag, none does",
    )
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given, signs=True, reports=True) as runner:
        specs = context.selected(runner, given)
        statuses = runner.release(specs) if given.all_or_nothing else runner.run(Goal.PUBLISH, specs)
        notes = dict(_notes(runner, statuses))
    output.narrate_failures(statuses, output.needs_attention)
    report.write(statuses, context.report_folder(given), notes)
    output.print_statuses(statuses, as_json=given.json)
    return exit_codes.of_proving(statuses, goal={State.PUBLISHED}, require_all=given.require_all)


def _notes(runner: Runner, statuses: Sequence[Status]) -> Iterator[tuple[str, str]]:
    """What changed with each image that took the place of another, by cell; without it, all is well too."""
    for status in statuses:
        if status.replaced is None or status.image is None:
            continue
        try:
            changed = runner.compare(str(status.replaced), str(status.image.ref.digest))
        except TagproofError as error:
            output.narrate(f"{status.cell.id}: no notes of what changed: {error.what}")
        else:
            yield status.cell.id, difference.markdown(changed)


COMMAND = Command(
    "publish",
    summary="give proven images their tags; never builds",
    description=(
        "Asks the gate, copies image and attestations from staging, reads them back, and moves the tags "
        "of the cell to the digest that was proven. A cell that is not proven stays as it is, and exit "
        "code 1 says so. The report is written to .state/report; what changed with each image that took the "
        "place of another is in notes/ there."
    ),
    examples=(
        ("publish", "every cell that is proven"),
        ("publish vllm0.32.0-torch2.13.0-cpu-py3.11", "one cell"),
        ('publish --all-or-nothing "*-cpu-*"', "a release of several cells: all of them, or none"),
        ("publish --repository ghcr.io/example/vllm --require-all", "elsewhere; no cell may stay pending"),
    ),
    add_options=_add_options,
    run=_run,
)
