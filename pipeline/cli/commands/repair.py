"""``repair``: what lies in the way of cells, or beside single images, is taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli import exit_codes, options, output
from pipeline.cli.command import Command
from pipeline.model import Goal
from pipeline.model.errors import REFUSED

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "select",
        nargs="*",
        metavar="CELL|IMAGE",
        help="ids, aliases or globs of cells, or images as host/path@sha256:…; none = all cells",
    )
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context

    images = [options.image(word) for word in given.select if "@" in word]
    given.select = [word for word in given.select if "@" not in word]
    with context.opened(given, signs=True) as runner:
        for image in images:
            runner.clean(image, output.narrate)
        is_of_cells = given.select or not images
        statuses = runner.run(Goal.REPAIR, context.selected(runner, given)) if is_of_cells else ()
    output.narrate_failures(statuses, output.is_hindered)
    output.print_statuses(statuses, as_json=given.json)
    is_left = any(reason.code.is_of_a_tag for status in statuses for reason in status.reasons)
    return REFUSED if is_left else exit_codes.of_observing(statuses)


COMMAND = Command(
    "repair",
    summary="take away junk beside an image, and tags that it may not have",
    description=(
        "Removes what makes attestations unreadable, brings back those that were lost where a copy is "
        "left, and takes the tags off digests whose attestations do not hold. A cell that is proven then "
        "gets its tags, also where that moves one back. Exit code 1 where a tag could not be set right."
    ),
    examples=(
        ("repair", "every cell of matrix.yaml"),
        ("repair vllm0.32.0-torch2.13.0-cpu-py3.11", "one cell"),
        ('repair "$IMAGE"', "what lies beside one image, host/path@sha256:…"),
    ),
    add_options=_add_options,
    run=_run,
)
