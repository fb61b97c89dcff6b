"""``yank``: a digest is taken back for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli import output, retracted
from pipeline.cli.command import Command

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("image", metavar="TAG|DIGEST", help="a tag of the destination, or sha256:… there")
    retracted.add_options(parser, "why nobody is to use it")


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given, signs=True) as runner:
        retraction = runner.yank(given.image, given.reason, output.narrate)
    return retracted.told(retraction, "yanked", given)


COMMAND = Command(
    "yank",
    summary="take a published digest back for good",
    description=(
        "Signs beside the digest that it is yanked, in the destination and in staging: no gate allows it "
        "again, and no build or proof changes that. Its channels go to the newest image of the cell whose "
        "attestations hold; where there is none they are removed, and so is its immutable tag. The digest "
        "itself stays, for whoever has pinned it."
    ),
    examples=(
        ('yank cu130 --reason "answers wrong with fp8"', "what a tag names"),
        ('yank sha256:… --reason "CVE-2026-1234"', "a digest, whatever names it"),
        ('yank cu130 --reason "…" --repository ghcr.io/example/vllm', "elsewhere"),
    ),
    add_options=_add_options,
    run=_run,
)
