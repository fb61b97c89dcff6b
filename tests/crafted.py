"""Images made by hand, entry by entry, in every form in which images lie around."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pipeline.adapters.image_files.layered import Blob, Layered
from pipeline.adapters.image_files.nodes import Layer, Unreadable
from pipeline.formats.image_config import ImageConfig
from pipeline.model import Digest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.adapters.image_files.nodes import FileSystem, Node

Packing = Literal["plain", "gzip", "zstd"]

_TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "device": tarfile.CHRTYPE,
    "pipe": tarfile.FIFOTYPE,
}


@dataclass(frozen=True)
class Item:
    """One entry of a layer, as it is to be written. ``to`` is what a link, hard or not, names."""

    path: str
    kind: str = "file"
    content: bytes = b""
    to: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


def a(path: str, content: bytes = b"x") -> Item:
    """A file."""
    return Item(path, content=content)


def folder(path: str, mode: int = 0o755) -> Item:
    return Item(path, "directory", mode=mode)


def link(path: str, to: str) -> Item:
    return Item(path, "link", to=to, mode=0o777)


def hard_link(path: str, to: str) -> Item:
    return Item(path, "hard link", to=to)


def tar(*items: Item, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A layer, written by Python's tarfile."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=form) as archive:
        for item in items:
            info = tarfile.TarInfo(item.path)
            info.type, info.linkname = _TYPES[item.kind], item.to
            info.mode, info.uid, info.gid, info.size = item.mode, item.uid, item.gid, len(item.content)
            archive.addfile(info, io.BytesIO(item.content))
    return body.getvalue()


def pack(layer: bytes, packing: Packing) -> bytes:
    """A layer as it is stored."""
    if packing == "gzip":
        return gzip.compress(layer, compresslevel=6, mtime=0)
    return zstd.compress(layer) if packing == "zstd" else layer


def blob(body: bytes, *, digest: Digest | None = None, size: int | None = None) -> Blob:
    """A layer in memory, which says of itself what is true unless told otherwise."""
    return Blob(
        digest or Digest.of(body), len(body) if size is None else size, lambda: nullcontext(iter([body]))
    )


def image(*layers: bytes | Blob) -> Layered:
    """An image of these layers, the lowest first."""
    blobs = [one if isinstance(one, Blob) else blob(one) for one in layers]
    return Layered("an image", "", ImageConfig(), [(Layer(str(one.digest), one.size), one) for one in blobs])


def everything(node: Node) -> bool:  # noqa: ARG001 - it is wanted whatever it is
    return True


Copied = bytes | Unreadable | None
"""The content of a node, for longer than the walk stays there."""


def read(files: FileSystem, wants: Callable[[Node], bool] = everything) -> dict[str, tuple[Node, Copied]]:
    """Every node with its content, by path; of a path that comes twice the later."""
    with files, closing(files.walk(wants)) as walk:
        return {
            node.path: (node, bytes(content) if isinstance(content, memoryview) else content)
            for node, content in walk
        }


def contents(files: FileSystem) -> dict[str, Copied]:
    """The content of each file, and of each folder that cannot be read, by path."""
    return {
        path: content
        for path, (node, content) in read(files).items()
        if node.kind == "file" or isinstance(content, Unreadable)
    }


def without_layers(tree: dict[str, tuple[Node, Copied]]) -> dict[str, tuple[Node, Copied]]:
    """The same, whatever layer it is from."""
    return {path: (replace(node, layer=0), data) for path, (node, data) in tree.items()}


# -- stored forms -----------------------------------------------------------------------------------


OF_NOBODY = {"who": "me"}
"""Labels that say nothing to us."""


def config_of(
    layers: Sequence[bytes], labels: Mapping[str, str] = OF_NOBODY, architecture: str = "amd64"
) -> bytes:
    """An image's configuration, which says something in each field that we read."""
    return json.dumps(
        {
            "os": "linux",
            "architecture": architecture,
            "config": {
                "Env": ["PATH=/bin", "EMPTY=", "A=b=c"],
                "Entrypoint": ["/bin/x"],
                "Cmd": ["--help"],
                "User": "1000:0",
                "Labels": dict(labels),
            },
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer)) for layer in layers]},
            "history": [
                {"created_by": "ENV A=b=c", "empty_layer": True},
                *({"created_by": f"step {number}"} for number in range(len(layers))),
            ],
        }
    ).encode()


def stored(
    layers: Sequence[bytes],
    packing: Packing = "plain",
    labels: Mapping[str, str] = OF_NOBODY,
    architecture: str = "amd64",
) -> tuple[dict[Digest, bytes], dict[str, Any]]:
    """The blobs of an image with its manifest among them, and the manifest's descriptor."""
    config, packed = config_of(layers, labels, architecture), [pack(layer, packing) for layer in layers]
    suffix = "" if packing == "plain" else f"+{packing}"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [descriptor(f"application/vnd.oci.image.layer.v1.tar{suffix}", one) for one in packed],
        }
    ).encode()
    blobs = {Digest.of(body): body for body in (config, *packed, manifest)}
    return blobs, descriptor("application/vnd.oci.image.manifest.v1+json", manifest)


def descriptor(media_type: str, body: bytes, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(body)), "size": len(body), **more}


def layout_files(blobs: dict[Digest, bytes], listed: Iterable[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """The files of an OCI layout."""
    yield "oci-layout", b'{"imageLayoutVersion": "1.0.0"}'
    index = {"schemaVersion": 2, "manifests": list(listed)}
    yield "index.json", json.dumps(index).encode()
    for digest, body in blobs.items():
        yield f"blobs/sha256/{digest.hex}", body


def saved_files(layers: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """The files of an archive that engines before 25 save."""
    config = config_of(layers)
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    yield from zip(names, layers, strict=True)
    yield name, config
    yield "manifest.json", json.dumps([{"Config": name, "RepoTags": ["x:y"], "Layers": names}]).encode()


def layout(
    place: Path, layers: Sequence[bytes], packing: Packing = "plain", labels: Mapping[str, str] = OF_NOBODY
) -> Path:
    """Write an OCI layout into a folder."""
    blobs, manifest = stored(layers, packing, labels)
    for name, body in layout_files(blobs, [manifest]):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(body)
    return place


def archive(path: Path, files: Iterable[tuple[str, bytes]], packing: Packing = "plain") -> Path:
    """Write these files into a tar archive."""
    path.write_bytes(pack(tar(*(Item(name, content=body) for name, body in files)), packing))
    return path
