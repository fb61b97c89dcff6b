"""Images in files: an OCI layout, as a folder or as a tar archive, and what ``docker save`` writes."""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from pipeline.adapters.image_files.layered import Blob, Layered
from pipeline.adapters.image_files.limits import BrokenError
from pipeline.adapters.image_files.manifest import image, layered, read_config
from pipeline.adapters.image_files.parts import ArchiveParts, FolderParts, plain, spooled
from pipeline.adapters.image_files.stream import checked
from pipeline.adapters.registry import MAX_DOCUMENT_BYTES, OCI_INDEX, Descriptor, Manifest
from pipeline.model.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from pipeline.adapters.image_files.parts import Parts

_NO_IMAGE = (
    "name an OCI layout, an archive of one, or what `docker save` wrote; for an unpacked image, --root"
)


def open_layout(folder: Path, platform: str | None = None) -> Layered:
    """The image of an OCI layout's folder. Raises ImageError."""
    return _opened(lambda: FolderParts(folder), str(folder), platform)


def open_archive(path: Path, platform: str | None = None) -> Layered:
    """The image of an archive, packed or not: a layout, or what ``docker save`` wrote. Raises ImageError."""
    return _opened(lambda: ArchiveParts(plain(path)), str(path), platform)


def open_stream(chunks: Generator[bytes], name: str, platform: str | None = None) -> Layered:
    """The image of an archive that comes in chunks, once. Raises ImageError.

    It is written into the temporary folder, as its layers come in another order than that of reading. Nothing
    more is asked of the chunks then, and they are closed.
    """
    with closing(chunks):
        return _opened(lambda: ArchiveParts(spooled(chunks)), name, platform)


def _opened(open_parts: Callable[[], Parts], name: str, platform: str | None) -> Layered:
    try:
        parts = open_parts()
        try:
            form = _layout if parts.size("index.json") is not None else _saved
            return form(parts, name, platform)
        except BaseException:
            parts.close()
            raise
    except BrokenError as error:
        raise ImageError(f"{name} cannot be read as an image: {error}", hint=_NO_IMAGE) from error
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror or error}", hint=_NO_IMAGE) from error


def _layout(parts: Parts, name: str, platform: str | None) -> Layered:
    """An OCI image layout (OCI image specification, image-layout.md)."""

    def small(blob: Descriptor) -> bytes:
        return b"".join(checked([_small(parts, _blob(blob))], blob.digest, blob.size))

    index = Manifest(_small(parts, "index.json"), OCI_INDEX)
    manifest = image(index, lambda blob: Manifest(small(blob), blob.media_type), platform, name)
    blobs = [Blob(layer.digest, layer.size, partial(parts.open, _blob(layer))) for layer in manifest.layers]
    return layered(
        name, str(manifest.digest), small(manifest.config), blobs, platform=platform, close=parts.close
    )


def _saved(parts: Parts, name: str, platform: str | None) -> Layered:
    """What ``docker save`` wrote before engine 25: layers not packed, and ``diff_ids`` as their digests."""
    listed = _small(parts, "manifest.json")
    try:
        (entry,) = json.loads(listed)
        config, names = str(entry["Config"]), [str(layer) for layer in entry["Layers"]]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BrokenError("its manifest.json does not list one image") from error
    body = _small(parts, config)
    digests = read_config(body, name).diff_ids
    if len(digests) != len(names):
        raise BrokenError(f"{len(names)} layers, and {len(digests)} digests of them")
    sizes = [parts.size(layer) or 0 for layer in names]
    blobs = [
        Blob(digest, size, partial(parts.open, layer))
        for digest, size, layer in zip(digests, sizes, names, strict=True)
    ]
    return layered(name, "", body, blobs, platform=platform, close=parts.close)


def _blob(blob: Descriptor) -> str:
    return f"blobs/sha256/{blob.digest.hex}"


def _small(parts: Parts, name: str) -> bytes:
    """A small file, whole."""
    size = parts.size(name)
    if size is None:
        raise BrokenError(f"it lacks {name}")
    if size > MAX_DOCUMENT_BYTES:
        raise BrokenError(f"its {name} has {size} bytes, too many for what it should be")
    with parts.open(name) as chunks:
        return b"".join(chunks)
