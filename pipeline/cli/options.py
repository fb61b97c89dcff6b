"""The options that several commands share, each written once."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.output import MODULE
from pipeline.formats import axes
from pipeline.model import ImageRef, Repository, TagRef
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


LAYOUT = "oci:"
"""What stands before the folder of an OCI image layout, as skopeo writes it."""


class Options(Namespace):
    """What was typed. The defaults stand for options that a command does not have."""

    command: str
    key_pem: str | None = None
    """The private key that the caller handed over."""
    matrix: Path = Path("matrix.yaml")
    repository: str | None = None
    find_links: Sequence[str] = ()
    select: Sequence[str] = ()
    json: bool = False
    fresh: bool = False
    require_all: bool = False
    all_or_nothing: bool = False
    advisories: Sequence[Path] = ()
    severity: str | None = None
    fixable: bool = False
    platform: str | None = None
    arch: Sequence[str] = ()
    policy: Path | None = None
    target: str | None = None
    key: Sequence[Path] = ()


def add_cells(parser: ArgumentParser) -> None:
    """Which cells the command is about."""
    parser.add_argument(
        "select",
        nargs="*",
        metavar="CELL",
        help="ids, aliases or globs, such as '*-{cpu,cu130}-*'; !GLOB takes cells away; none = all",
    )


def add_matrix(parser: ArgumentParser) -> None:
    """Which matrix."""
    parser.add_argument(
        "--matrix", type=Path, default=Options.matrix, metavar="FILE", help="default: matrix.yaml here"
    )


def add_repository(parser: ArgumentParser, *, is_shown: bool = True) -> None:
    """Where images are published, and beside it staged."""
    text = "where images are published, host/path, instead of the matrix's"
    parser.add_argument("--repository", metavar="REPOSITORY", help=text if is_shown else SUPPRESS)


def add_find_links(parser: ArgumentParser, *, is_shown: bool = True) -> None:
    """Local folders of wheels."""
    text = "a folder of wheels to look in first; may be given again, and PIP_FIND_LINKS is heard too"
    parser.add_argument(
        "--find-links", action="append", default=[], metavar="DIR", help=text if is_shown else SUPPRESS
    )


def add_json(parser: ArgumentParser) -> None:
    """The same for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON, with the number of its schema")


def add_fresh(parser: ArgumentParser, text: str) -> None:
    """Do again what is done; ``text`` says what that is."""
    parser.add_argument("--fresh", action="store_true", help=text)


def add_require_all(parser: ArgumentParser) -> None:
    """Whether a cell may stay pending."""
    parser.add_argument("--require-all", action="store_true", help="a cell that is pending here is a failure")


def add_platform(parser: ArgumentParser) -> None:
    """Which image of several under one name."""
    parser.add_argument(
        "--platform",
        type=lambda text: next(axes.meanings(text, axes.PLATFORM), text),
        metavar="OS/ARCH",
        help="of an image for several platforms, the one for this: linux/arm64; default: this machine's",
    )


def add_policy(parser: ArgumentParser, text: str) -> None:
    """By which policy, and whose keys count beside its signers'."""
    parser.add_argument("--policy", type=Path, metavar="FILE", help=text)
    add_keys(parser, "a public key that counts beside the policy's; may be given again")


def add_keys(parser: ArgumentParser, text: str) -> None:
    """Whose keys count; ``text`` says beside which others."""
    parser.add_argument("--key", type=Path, action="append", default=[], metavar="FILE", help=text)


def add_archs(parser: ArgumentParser) -> None:
    """Which GPUs an image is asked to be for."""
    parser.add_argument(
        "--arch",
        action="append",
        default=[],
        metavar="ARCH",
        help="an architecture or a GPU that it must be for: sm_103, B300; may be given again",
    )


def image_or_tag(text: str) -> ImageRef | TagRef:
    """An image by digest, or by a tag that names one. Raises UsageError for anything else."""
    if "@" in text:
        return image(text)
    try:
        return TagRef.parse(text)
    except ValueError as error:
        hint = "write host[:port]/path@sha256:… or host[:port]/path:tag"
        raise UsageError(str(error), hint=hint) from error


def image(text: str) -> ImageRef:
    """An image by digest. Raises UsageError for anything else."""
    try:
        return ImageRef.parse(text)
    except ValueError as error:
        has_digest = "write host[:port]/path@sha256:… with all 64 hex digits"
        has_none = f"`{MODULE} plan --json` has the digests of this matrix's images"
        raise UsageError(str(error), hint=has_digest if "@" in text else has_none) from error


def in_layout(text: str) -> tuple[Path, str]:
    """The folder of ``oci:DIR:TAG`` or ``oci:DIR@sha256:…``, and the rest. Raises UsageError."""
    name = text.removeprefix(LAYOUT)
    mark = "@" if "@sha256:" in name else ":"
    folder, found, word = name.rpartition(mark)
    if not found or not folder or "/" in word:
        hint = f"write {LAYOUT}DIR:TAG or {LAYOUT}DIR@sha256:…"
        raise UsageError(f"{text} names no image in a folder", hint=hint)
    return Path(folder), f"{mark}{word}"


def repository(text: str) -> Repository:
    """A repository. Raises UsageError for anything else."""
    try:
        return Repository.parse(text)
    except ValueError as error:
        raise UsageError(str(error), hint="write host[:port]/path") from error


def moment(text: str) -> datetime:
    """A time with its zone, or the end of a day in UTC. Raises UsageError for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write a day, 2026-11-20, or a time, 2026-11-20T12:00:00Z"
        raise UsageError(f"{text!r} is no moment: {error}", hint=hint) from error
    if len(text) == len("2026-11-20"):
        return found.replace(hour=23, minute=59, second=59, tzinfo=UTC)
    if found.tzinfo is None:
        raise UsageError(f"{text} has no time zone", hint=f"write {text}Z for UTC")
    return found
