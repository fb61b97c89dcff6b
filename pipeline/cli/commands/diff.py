"""``diff``: what changed from one published digest to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model.errors import GOOD
from pipeline.report import difference

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", help="a tag of the destination, or sha256:… there")
    parser.add_argument("after", metavar="B", help="another one")
    parser.add_argument("--markdown", action="store_true", help="print it as the notes of a release")
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given) as runner:
        found = runner.compare(given.before, given.after)
    if given.json:
        output.print_json({"schema": report.SCHEMA, **difference.as_json(found)})
    elif given.markdown:
        output.print_text(difference.markdown(found))
    else:
        output.print_text("".join(f"{line}\n" for line in difference.lines(found)))
    return GOOD


COMMAND = Command(
    "diff",
    summary="say what changed from one published digest to another",
    description=(
        "Compares what was signed beside both: packages, CUDA and driver, GPUs, findings, checks, speed, "
        "sizes, and how much an update pulls. Neither image is read."
    ),
    examples=(
        ("diff cu130 sha256:…", "a tag and a digest of the destination"),
        ("diff vllm0.32.0-torch2.13.0-cpu-py3.11-0123456789ab cpu --markdown", "the notes of a release"),
        ("diff cu129 cu130 --json", "two channels, for programs"),
    ),
    add_options=_add_options,
    run=_run,
)
