"""From an index or a manifest to one image: its platform, its configuration and its layers."""

from __future__ import annotations

import platform as machine
from typing import TYPE_CHECKING, Any

from pipeline.adapters.image_files.layered import Blob, Layered
from pipeline.adapters.image_files.nodes import Layer
from pipeline.adapters.registry import INDEXES, MANIFESTS, ContentError, Descriptor, Manifest
from pipeline.formats.image_config import ConfigFile
from pipeline.model.errors import ImageError
from pipeline.model.platforms import platform_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_LAYERS = 256
"""Of one image. Docker makes 127."""

MAX_INDEX_DEPTH = 2
"""Indexes within indexes: an archive lists images by name in one, and each may be an index."""

_ATTESTATION = "unknown/unknown"
"""The platform under which BuildKit lists attestations among the images."""

_NOT_OURS = "name an image that an engine can run, or ask who made this one"


def read_config(body: bytes, name: str) -> ConfigFile:
    """A configuration from its bytes. Raises ImageError; ``name`` is the image's, for the message."""
    try:
        return ConfigFile.read(body)
    except ValueError as error:
        raise ImageError(
            f"{name}: its configuration is not one of an image: {error}", hint=_NOT_OURS
        ) from error


def image(
    manifest: Manifest, fetch: Callable[[Descriptor], Manifest], platform: str | None, name: str
) -> Manifest:
    """The manifest of one image: this one, or of an index the one for ``platform`` (``linux/arm64``).

    Without one it is Linux on a processor like this machine's. ``fetch`` gives a descriptor's manifest.
    Raises ImageError where there is none, or not just one.
    """
    platform = platform or platform_of(machine.machine())
    try:
        for _ in range(MAX_INDEX_DEPTH):
            if manifest.media_type in INDEXES:
                manifest = fetch(_chosen(manifest.document, platform, name))
        layers = len(manifest.layers)
    except ContentError as error:
        raise ImageError(f"{name}: {error.what}", hint=error.hint) from error
    if layers > MAX_LAYERS:
        raise ImageError(f"{name} has {layers} layers, more than {MAX_LAYERS}", hint=_NOT_OURS)
    return manifest


def layered(
    name: str,
    digest: str,
    config: bytes,
    blobs: Sequence[Blob],
    *,
    platform: str | None,
    close: Callable[[], None] = lambda: None,
) -> Layered:
    """The files of an image, from its configuration's bytes and its layers, the lowest first.

    Raises ImageError where the configuration is none, or is not for this platform.
    """
    file = read_config(config, name)
    image_config = file.image_config
    if platform and not f"{image_config.platform}/".startswith(f"{platform}/"):
        raise ImageError(
            f"{name} is for {image_config.platform or 'no platform that it names'}, not for {platform}",
            hint="name an image, or an index with one, for this platform",
        )
    return Layered(name, digest, image_config, tuple(zip(_layers(file, blobs), blobs, strict=True)), close)


def _layers(file: ConfigFile, blobs: Sequence[Blob]) -> tuple[Layer, ...]:
    """The layers, each with the instruction that made it, where history and layers fit together."""
    steps = file.layer_steps if len(file.layer_steps) == len(blobs) else ("",) * len(blobs)
    return tuple(Layer(str(blob.digest), blob.size, by) for blob, by in zip(blobs, steps, strict=True))


def _chosen(index: dict[str, Any], platform: str, name: str) -> Descriptor:
    try:
        listed = [(Descriptor.read(entry), _platform(entry)) for entry in index.get("manifests") or ()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ImageError(f"{name}: its index is damaged: {error!r}", hint=_NOT_OURS) from error
    fitting = {
        entry.digest: entry
        for entry, listed_platform in listed
        if entry.media_type in MANIFESTS and listed_platform in (platform, "")
    }
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise ImageError(
            f"{name} holds {len(fitting)} images for {platform}",
            hint="save one image alone, or name it by digest",
        )
    platforms = ", ".join(sorted({platform for _, platform in listed if platform} - {_ATTESTATION}))
    raise ImageError(
        f"{name} has no image for {platform}, but for: {platforms or 'nothing'}",
        hint="name one of these with --platform",
    )


def _platform(entry: dict[str, Any]) -> str:
    """``linux/arm64``; empty where the entry names none, as in a layout of one image."""
    platform = entry.get("platform") or {}
    return "/".join(str(platform[part]) for part in ("os", "architecture") if platform.get(part))
