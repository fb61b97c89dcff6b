"""Images of one tiny program, which waits for ever or ends at once: a shell, a Python and a server in one.

So an image is built, or a container runs, for as long as a test needs it to.
"""

from __future__ import annotations

import io
import json
import secrets
import struct
import tarfile
from typing import TYPE_CHECKING

from pipeline.adapters.registry import OCI_MANIFEST, Manifest, Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.model import ImageRef, Repository


WAITS = bytes.fromhex("b822000000 0f05 ebf7")  # again: pause(2); jump to again
ENDS = bytes.fromhex("bf03000000 b83c000000 0f05")  # exit(3)


def program(code: bytes) -> bytes:
    """An ELF executable of these instructions (x86-64), unlike any other one that was made so."""
    start, align = 0x400000, 0x1000
    body = code + secrets.token_bytes(16)
    size = 64 + 56 + len(body)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", 2, 62, 1, start + 64 + 56, 64, 0, 0, 64, 56, 1, 64, 0, 0),
    )
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, align) + body


def push(
    repository: Repository, files: Mapping[str, bytes], labels: Mapping[str, str], tag: str | None = None
) -> ImageRef:
    """An image of these executables; its entrypoint is called ``/python3``."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o755
            tar.addfile(entry, io.BytesIO(body))
    registry = Registry(repository)
    layer = registry.put_blob(packed.getvalue())
    config = registry.put_blob(
        json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Entrypoint": ["/python3"], "Labels": dict(labels)},
                "rootfs": {"type": "layers", "diff_ids": [str(layer.digest)]},
            }
        ).encode()
    )
    kind = "application/vnd.oci.image"
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {**config.plain, "mediaType": f"{kind}.config.v1+json"},
        "layers": [{**layer.plain, "mediaType": f"{kind}.layer.v1.tar"}],
    }
    digest = registry.put_manifest(Manifest(json.dumps(document).encode(), OCI_MANIFEST), tag)
    return repository.at(digest)
