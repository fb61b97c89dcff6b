"""``build``: images into staging, each with its certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli import exit_codes, options, output
from pipeline.cli.command import Command
from pipeline.model import Goal, State
from pipeline.model.errors import REFUSED

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    options.add_cells(parser)
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_find_links(parser)
    options.add_fresh(parser, "build again, without BuildKit's cache")
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given, signs=True) as runner:
        statuses = runner.run(Goal.BUILD, context.selected(runner, given))
    output.narrate_failures(statuses, output.is_failed)
    output.print_statuses(statuses, as_json=given.json)
    is_refused = any(status.state is State.FAILED for status in statuses)
    return REFUSED if is_refused else exit_codes.of_observing(statuses)


COMMAND = Command(
    "build",
    summary="build images into staging, and judge their files",
    description=(
        "Locks what has no lock, fetches the wheels by hash, builds without a network, pushes into the "
        "staging repository, and signs a certificate of the image's files. Where a GPU is needed that is not "
        "here, all that needs none is tried in the image, and signed. An image whose inputs are those of one "
        "in staging is not built again. Exit code 1 where a certificate or a rehearsal refuses its image."
    ),
    examples=(
        ("build", "every cell of matrix.yaml"),
        ("build '*-cpu-*' '!vllm0.31.0-*'", "the CPU cells, all but one"),
        ("build vllm0.32.0-torch2.13.0-cpu-py3.11 --fresh", "over whatever is in staging, without a cache"),
    ),
    add_options=_add_options,
    run=_run,
)
