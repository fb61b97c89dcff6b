"""``refresh``: what is new on the index, read into the facts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import to_json
from pipeline.model.errors import GOOD, REFUSED

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--facts", type=Path, metavar="FILE", help="the file to bring up to date; default: this checkout's"
    )
    options.add_matrix(parser)
    options.add_fresh(parser, "read every artefact again, also those that the file has")
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.compat.facts import FACTS
    from pipeline.report import refreshed
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.facts import update

    with ProgressReporter() as progress:
        done = update(progress, given.matrix, path=given.facts or FACTS, fresh=given.fresh)
    for problem in done.problems:
        output.narrate(problem)
    if given.json:
        output.print_json({**refreshed.as_json(done.summary), "problems": to_json(done.problems)})
    elif not done.problems:
        output.print_text(refreshed.markdown(done.summary))
    return REFUSED if done.problems else GOOD


COMMAND = Command(
    "refresh",
    summary="read what is new on the index into the facts; print what that changes",
    description=(
        "Reads from new wheels on the index what the rules of compatibility stand on, checks it, and "
        "writes all of it or, with exit code 1, nothing. Prints the text of a pull request: what is new, "
        "and which cells of the matrix get another verdict."
    ),
    examples=(
        ("refresh", "what the index has and the file has not"),
        ("refresh --fresh", "every artefact again, which takes long"),
        ("refresh --facts /tmp/facts.json --json", "into another file; the changes for a program"),
    ),
    add_options=_add_options,
    run=_run,
)
