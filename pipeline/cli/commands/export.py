"""``export``: published images, with their evidence, into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import judging, options, output, promoted
from pipeline.cli.command import Command

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from pipeline.cli.options import Options
    from pipeline.model import ImageRef, TagRef


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE|CELL",
        help="host/path@sha256:… or host/path:tag; or a cell of the matrix, as it is published now",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="DIR",
        help="the folder; an earlier export is gone on with",
    )
    options.add_policy(parser, "by this policy alone; default: the matrix's")
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.runner import promoting

    asked = tuple(_references(given))
    found = promoting.export(asked, given.output, judging.judge(given), output.narrate)
    return promoted.told(found, "exported", given)


def _references(given: Options) -> Iterator[ImageRef | TagRef]:
    """The images that are meant; of a cell what its own channel names. Raises UsageError."""
    from pipeline import matrix

    cells = [word for word in given.images if "/" not in word]
    yield from (options.image_or_tag(word) for word in given.images if "/" in word)
    if cells:
        loaded = matrix.load(given.matrix, given.repository)
        yield from (loaded.repository.tagged(spec.cell.id) for spec in matrix.select(loaded, cells))


COMMAND = Command(
    "export",
    summary="write published images, with their evidence, into a folder",
    description=(
        "Writes an OCI image layout: each image that the policy accepts, every statement beside it and every "
        "tag that names it, in their very bytes. All is hashed as it is written; a second run checks what is "
        "there and fetches the rest. Other images are left out with the reasons, and exit code 1 says so. "
        "`gate oci:DIR:TAG` judges the folder without a network, and `import` pushes it elsewhere."
    ),
    examples=(
        ("export registry.example.org/team/vllm:cu130 --output /media/disk/vllm", "by the matrix's policy"),
        ("export '*-cu130-*' --output vllm", "cells of the matrix, as they are published now"),
        ('export "$IMAGE" --output vllm --policy policy.yaml', "without a matrix"),
    ),
    add_options=_add_options,
    run=_run,
)
