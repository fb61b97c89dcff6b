"""From what a person writes to the files of an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters.image_files.archive import open_archive, open_layout, open_stream
from pipeline.adapters.image_files.remote import open_remote
from pipeline.model import ImageRef, Repository
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from pipeline.adapters.image_files.layered import Layered
    from pipeline.model import TagRef

ENGINE = "engine:"
"""What stands before the name or id of an image in the engine's own store."""


def open_image(reference: str, *, platform: str | None = None) -> Layered:
    """The image that is meant: use it as a context manager.

    ``reference`` is ``host/path@sha256:…`` or ``host/path:tag`` in a registry, ``engine:NAME`` in the
    engine's store, or the path of an OCI layout or of an archive. ``platform`` is ``linux/amd64`` and the
    like; without one, an index gives what fits this machine. Raises UsageError for what is none of these,
    and ImageError, RegistryError or EngineError where it cannot be read.
    """
    if reference.startswith(ENGINE):
        from pipeline.adapters.engine import Engine  # noqa: PLC0415 - its client takes 0.2 s to load

        name = reference.removeprefix(ENGINE)
        with Engine.connect() as engine:
            return open_stream(engine.save(name), reference, platform)
    path = Path(reference)
    if path.is_dir():
        return open_layout(path, platform)
    if path.is_file():
        return open_archive(path, platform)
    try:
        if "@" in reference:
            ref = ImageRef.parse(reference)
            return open_remote(ref.repository, ref.digest, platform)
        tagged = _tagged(reference)
    except ValueError as error:
        raise UsageError(
            f"{reference!r} is no file or folder here, and no reference to an image: {error}",
            hint="write host/path:tag or host/path@sha256:… for a registry (docker.io/… for Docker Hub), "
            f"{ENGINE}NAME for the engine's store, or the path of an archive or an OCI layout",
        ) from error
    return open_remote(tagged.repository, tagged.tag, platform)


def _tagged(reference: str) -> TagRef:
    """``host/path:tag``. Raises ValueError for anything else."""
    name, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:  # then the colon stands before a port
        raise ValueError("it names neither a tag nor a digest")
    return Repository.parse(name).tagged(tag)
