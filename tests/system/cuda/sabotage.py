"""Images that differ from the good one by one small layer: what its files and its configuration say."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.adapters.registry import OCI_MANIFEST, Manifest, Registry
from pipeline.model import Digest, Repository
from pipeline.stages import build
from tests.crafted import Item, pack, tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import ImageRef
    from tests.system.cuda.cuda_image import Builder, CudaImage

SITE = "/opt/venv/lib/python3.11/site-packages"
ENTRYPOINT = "/usr/local/bin/serve"


def file(path: str, content: str | bytes, mode: int = 0o755) -> Item:
    """A file that is new, or in the place of another."""
    body = content.encode() if isinstance(content, str) else content
    return Item(path.removeprefix("/"), content=body, mode=mode)


def gone(path: str) -> Item:
    """A file that the image has no more."""
    at = PurePosixPath(path.removeprefix("/"))
    return Item(str(at.with_name(f".wh.{at.name}")))


def sabotaged(
    good: ImageRef, *items: Item, entrypoint: list[str] | None = None, **described: str
) -> ImageRef:
    """The good image with these files, in the registry; ``described`` is what its configuration says."""
    registry = Registry(good.repository)
    manifest = registry.manifest(good.digest)
    assert manifest
    config: dict[str, Any] = json.loads(registry.blob(manifest.config.digest)) | described
    document: dict[str, Any] = json.loads(manifest.body)
    if entrypoint is not None:
        config["config"]["Entrypoint"] = entrypoint
    if items:
        layer = tar(*items)
        stored = registry.put_blob(pack(layer, "gzip"))
        config["rootfs"]["diff_ids"].append(str(Digest.of(layer)))
        config["history"].append({"created_by": "a saboteur"})
        document["layers"].append(stored.plain | {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"})
    body = registry.put_blob(json.dumps(config).encode())
    document["config"] = body.plain | {"mediaType": "application/vnd.oci.image.config.v1+json"}
    digest = registry.put_manifest(Manifest(json.dumps(document).encode(), OCI_MANIFEST))
    return good.repository.at(digest)


@contextmanager
def in_the_place_of(good: CudaImage, bad: ImageRef) -> Iterator[Builder]:
    """The same builder with a repository whose staging has the bad image for the good one, and its base.

    After the block nothing is in it any more.
    """
    repository = Repository(good.repository.host, f"{good.repository.path}-sabotaged")
    there, staging = good.image.ref.repository, Repository(repository.host, f"{repository.path}-staging")
    tag = build.home(good.image.build_key, staging).tag
    _copy(bad, staging, tag)
    bases = Registry(Repository(there.host, f"{there.path}/base"))
    keys = [tag for tag in bases.tags() if not tag.startswith("sha256-")]
    for key, digest in ((key, bases.digest_of(key)) for key in keys):
        assert digest
        _copy(bases.repository.at(digest), Repository(staging.host, f"{staging.path}/base"), key)
    try:
        yield replace(good.builder, repository=repository)
    finally:
        for place in (Registry(staging), Registry(Repository(staging.host, f"{staging.path}/base"))):
            for digest in filter(None, {place.digest_of(tag) for tag in place.tags()}):
                place.delete_manifest(digest)


def _copy(ref: ImageRef, place: Repository, tag: str) -> None:
    source, target = Registry(ref.repository), Registry(place)
    manifest = source.manifest(ref.digest)
    assert manifest
    target.mount_or_copy_blobs((manifest.config, *manifest.layers), source)
    target.put_manifest(manifest, tag)
