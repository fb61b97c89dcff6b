"""``audit``: whether what is published, or what runs elsewhere, still has evidence that holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import judging, listing, options, output
from pipeline.cli.command import Command
from pipeline.model.errors import GOOD, REFUSED
from pipeline.report import oversight

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping

    from pipeline.cli.options import Options
    from pipeline.model import Support


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--images", metavar="LIST", help="a file with an image on each line, as they run; - is stdin"
    )
    options.add_policy(parser, "by this policy alone; default: the matrix's")
    parser.add_argument("--markdown", action="store_true", help="print a table, for the summary of a job")
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.runner import overseeing

    judge = judging.judge(given)
    if given.images:
        names = dict.fromkeys(listing.listed(given.images))
        found = overseeing.of_running(judge, {name: listing.reference(name) for name in names})
    else:
        found = overseeing.of_published(judge, _supports(given))
    if given.json:
        output.print_json({"schema": report.SCHEMA, **oversight.as_json(found)})
    elif given.markdown:
        output.print_text(oversight.markdown(found))
    else:
        output.print_text("".join(f"{line}\n" for line in oversight.lines(found)))
    return GOOD if all(one.is_good for one in found) else REFUSED


def _supports(given: Options) -> Mapping[str, Support]:
    """How long the matrix supports its cells; a policy alone does not say."""
    from pipeline import matrix

    if given.policy:
        return {}
    specs = matrix.load(given.matrix, given.repository).specs
    return {spec.cell.id: spec.support for spec in specs if spec.support}


COMMAND = Command(
    "audit",
    summary="say which published tags, or which images that run, have no live proof",
    description=(
        "Judges every tag of the destination as a deployment would, asks for all layers, and compares each "
        "tag with the last move that was signed of it. With --images, each image of a list, as `kubectl` or "
        "`docker ps` names them: current, superseded, expired, refused, yanked or unknown. Exit code 1 where "
        "something is to be done; nothing is changed."
    ),
    examples=(
        ("audit", "every tag that matrix.yaml publishes, for a job that runs each day"),
        ("audit --images running.txt --policy policy.yaml", "what runs in a cluster, without a matrix"),
        ("audit --markdown", "for the summary of a job"),
    ),
    add_options=_add_options,
    run=_run,
)
