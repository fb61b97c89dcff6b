"""``import``: images of a folder, or of another repository, into a registry, with their evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import judging, options, output, promoted
from pipeline.cli.command import Command
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options
    from pipeline.model import Promotion, Repository


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "images",
        nargs="+",
        metavar="DIR|IMAGE",
        help="a folder that `export` wrote; or host/path@sha256:…, host/path:tag of another repository",
    )
    parser.add_argument("--repository", required=True, metavar="REPOSITORY", help="where to, host/path")
    options.add_policy(
        parser, "what is accepted there; it names that repository, and where the proofs are from"
    )
    options.add_json(parser)


def _run(given: Options) -> int:
    if given.policy is None or given.repository is None:
        what = "only what a policy accepts is imported, and none is named"
        raise UsageError(what, hint="name one that accepts proofs of both repositories, with --policy FILE")
    found = _imported(given, options.repository(given.repository))
    return promoted.told(found, "imported", given)


def _imported(given: Options, repository: Repository) -> tuple[Promotion, ...]:
    from pipeline.adapters.layout import Layout
    from pipeline.runner import promoting

    judge, folders = judging.judge(given), [Path(word) for word in given.images if Path(word).is_dir()]
    if not folders:
        asked = [options.image_or_tag(word) for word in given.images]
        return promoting.import_images(asked, repository, judge, output.narrate)
    if len(folders) < len(given.images):
        raise UsageError("a folder and an image of a registry at once", hint="import each of them alone")
    return tuple(
        promotion
        for folder in folders
        for promotion in promoting.import_layout(
            Layout.read(folder, repository), repository, judge, output.narrate
        )
    )


COMMAND = Command(
    "import",
    summary="push images of a folder into a registry, with their evidence and tags",
    description=(
        "Pushes what `export` wrote, or images of another repository, in their very bytes. The policy judges "
        "each image before anything of it is written, and again, by what lies in the registry, before a tag "
        "is: one that is not accepted gets none. No immutable tag moves, and no channel goes back to an "
        "older proof. Broken off, it is ended by typing it again. No key is needed, and nothing is signed."
    ),
    examples=(
        ("import vllm --repository 10.0.0.5:5000/prod/vllm --policy policy.yaml", "behind an air gap"),
        (
            "import ghcr.io/example/vllm:cu130 --repository registry.example.org/vllm --policy policy.yaml",
            "the same digest in a second registry, without a folder",
        ),
        ("import vllm --repository 10.0.0.5:5000/vllm --policy policy.yaml --json", "for programs"),
    ),
    add_options=_add_options,
    run=_run,
)
