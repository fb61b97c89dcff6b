"""An image in a registry: its layers are streamed by digest, the uppermost first, and kept nowhere."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.adapters.image_files.layered import Blob, Layered
from pipeline.adapters.image_files.manifest import image, layered
from pipeline.adapters.registry import Manifest, Registry
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from pipeline.model import Digest, Repository


def open_remote(repository: Repository, reference: Digest | str, platform: str | None = None) -> Layered:
    """The image of a digest or a tag, which is resolved now; of an index, the one for this platform.

    Raises RegistryError where the registry does not have it, ImageError where we cannot read it.
    """
    registry = Registry(repository)
    named = f"{repository}:{reference}" if isinstance(reference, str) else f"{repository}@{reference}"

    def fetch(reference: Digest | str) -> Manifest:
        manifest = registry.manifest(reference)
        if manifest is None:
            raise RegistryError(
                f"{repository} has no manifest {reference}", hint="check the reference, or push the image"
            )
        return manifest

    manifest = image(fetch(reference), lambda descriptor: fetch(descriptor.digest), platform, named)
    config = registry.blob(manifest.config.digest)
    blobs = [Blob(layer.digest, layer.size, partial(registry.stream, layer)) for layer in manifest.layers]
    return layered(f"{repository}@{manifest.digest}", str(manifest.digest), config, blobs, platform=platform)
