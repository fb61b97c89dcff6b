"""A list of images in a file, one on each line, as `docker ps` or `kubectl` names them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.model import ImageRef, TagRef
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LIST_BYTES = 1 << 20
"""Of a list of images."""

_SCHEMES = ("docker-pullable://", "docker://", "containerd://")
"""What stands before the image in `imageID` of a pod's status."""


def listed(file: str | None) -> Iterator[str]:
    """The images of a list, with comments after #. Raises UsageError where it cannot be read."""
    if file is None:
        return
    try:
        text = sys.stdin.read(MAX_LIST_BYTES) if file == "-" else _text(Path(file))
    except (OSError, ValueError) as error:
        what = f"the list {file} cannot be read: {error}"
        raise UsageError(what, hint="name a text file with one image on each line, or - for stdin") from error
    for line in text.splitlines():
        yield from line.partition("#")[0].split()[:1]


def reference(text: str) -> ImageRef | TagRef | None:
    """What runs under such a name: by its digest where it has one; None for what names no registry."""
    for scheme in _SCHEMES:
        text = text.removeprefix(scheme)
    name, at, digest = text.partition("@")
    try:
        if not at:
            return TagRef.parse(text)
        host, slash, path = name.rpartition("/")
        return ImageRef.parse(f"{host}{slash}{path.partition(':')[0]}@{digest}")
    except ValueError:
        return None


def _text(file: Path) -> str:
    return files.read(file, MAX_LIST_BYTES).decode()
