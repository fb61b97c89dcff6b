"""``which``: what an image really is."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import listing, options, output
from pipeline.cli.command import Command
from pipeline.model import to_json
from pipeline.model.errors import GOOD, MACHINE, REFUSED, TagproofError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Sequence

    from pipeline.cli.options import Options
    from pipeline.model.identities import Identity
    from pipeline.runner.trusting import Trust

_IMAGES = "host/path@sha256:…, host/path:tag, engine:NAME, or the path of an archive, an OCI layout or a root"


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=_IMAGES)
    parser.add_argument("--root", type=Path, metavar="DIR", help="an unpacked root instead of an image")
    parser.add_argument("--file", metavar="LIST", help="a file with an image on each line; - is stdin")
    parser.add_argument("--labels", action="store_true", help="believe labels and tag: read no layer")
    options.add_platform(parser)
    options.add_matrix(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    names = [*given.images, *listing.listed(given.file)]
    if bool(names) is bool(given.root):
        hint = f"see {output.MODULE} which --help"
        raise UsageError("which takes images, a list of them by --file, or --root DIR", hint=hint)
    if given.root and (given.platform or given.labels):
        raise UsageError("--platform and --labels are of images, --root of none", hint="leave them out")
    if given.root:
        return _told(given, [_of_folder(given.root)], [])
    return _told(given, *_identified(given, names))


def _of_folder(root: Path) -> Identity:
    """What an unpacked root is; no registry is loaded for it. Raises UsageError or ImageError."""
    from pipeline.adapters.image_files.folder import Folder
    from pipeline.compat import shipped
    from pipeline.stages import identify

    with Folder(root) as files:
        return identify.of_files(str(root), files, shipped())


def _identified(
    given: Options, names: Sequence[str]
) -> tuple[list[Identity], list[tuple[str, TagproofError]]]:
    """What each image, or root, is; of several, also which could not be read, and why."""

    @cache
    def trusting() -> Trust | None:
        from pipeline import matrix
        from pipeline.runner.trusting import Trust

        return Trust(matrix.load(given.matrix), given.key_pem) if given.matrix.is_file() else None

    images, unread = [], []
    for name in names:
        try:
            images.append(_identity(given, name, trusting))
        except TagproofError as error:
            if len(names) == 1:
                raise
            unread.append((name, error))
    return images, unread


def _identity(given: Options, name: str, trusting: Callable[[], Trust | None]) -> Identity:
    """What one is. Raises TagproofError where it cannot be read."""
    folder = Path(name)
    if folder.is_dir() and not any((folder / mark).exists() for mark in _LAYOUT):
        return _of_folder(folder)
    from pipeline.runner import identifying

    return identifying.of_image(name, trusting, given.platform, labels_only=given.labels)


_LAYOUT = ("oci-layout", "index.json", "manifest.json")
"""What the folder of an image has that is packed in layers; any other folder is an unpacked root."""


def _told(given: Options, images: Sequence[Identity], unread: Sequence[tuple[str, TagproofError]]) -> int:
    """Print it; 1 where an image is not what it says, or a fleet has no one stack; 3 where one is unread."""
    from pipeline.compat.fleet import fleet_of
    from pipeline.report import identified

    fleet = fleet_of(images) if len(images) + len(unread) > 1 else None
    if given.json:
        rows = [{"name": name, "what": error.what, "hint": error.hint} for name, error in unread]
        answer = {"images": to_json(tuple(images)), "unread": rows, "fleet": to_json(fleet)}
        output.print_json({"schema": report.SCHEMA, **answer})
    else:
        why = [(name, f"{error.what}\n    hint: {error.hint}") for name, error in unread]
        output.print_text(identified.text_of(images, fleet, why))
    if any(image.contradictions for image in images) or (fleet and fleet.is_broken):
        return REFUSED
    return MACHINE if unread else GOOD


COMMAND = Command(
    "which",
    summary="say what an image really is: PyTorch, CUDA, vLLM, Python, GPUs, driver, base",
    description=(
        "Says in one line what an image really is, ours or anyone's, by the certificate beside it, else by a "
        "few small files inside it; what its tag, a label or a variable says and a file denies is named. "
        "Of several images, by name or in a list, it also says what driver their hosts need, and which "
        "of them are unlike the others. Exit code 1 where an image is not what it says of itself, or where "
        "images differ in CUDA's major or in the GPUs that they reach; 3 where one could not be read."
    ),
    examples=(
        ("which 127.0.0.1:5000/tagproof/vllm:cpu", "an image in a registry"),
        ("which --root / --json", "the machine or container that this runs in"),
        ("which --file images.txt", "a fleet: which of them is unlike the others"),
    ),
    add_options=_add_options,
    run=_run,
)
