"""``rollback``: a tag goes back to an earlier digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli import output, retracted
from pipeline.cli.command import Command

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("tag", metavar="TAG", help="a channel of the destination")
    parser.add_argument(
        "--to", metavar="DIGEST", help="the earlier image, sha256:…; default: the newest before"
    )
    retracted.add_options(parser, "why it goes back")


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given, signs=True) as runner:
        retraction = runner.roll_back(given.tag, given.to, given.reason, output.narrate)
    return retracted.told(retraction, "superseded", given)


COMMAND = Command(
    "rollback",
    summary="move a tag back to an earlier digest whose proof is live",
    description=(
        "Only to an image of the same cell whose attestations hold by today's policy. What the tag named "
        "keeps its other tags, and is published again only after it was proven anew; `yank` takes it back "
        "for good."
    ),
    examples=(
        ('rollback cu130 --reason "latency doubled"', "to the newest image before"),
        ('rollback cu130 --to sha256:… --reason "latency doubled"', "to one of your choice"),
        ('rollback cu130 --reason "…" --repository ghcr.io/example/vllm', "elsewhere"),
    ),
    add_options=_add_options,
    run=_run,
)
