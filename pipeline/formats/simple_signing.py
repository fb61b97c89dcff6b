"""Simple signing (containers-signature(5) of containers/image), in the form in which cosign writes it.

What is signed is a small document that names a digest and the repository of it, and no predicate: who says
yes, and nothing of what was seen. podman, CRI-O and Talos read no other signature.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from pipeline.formats.dsse import is_valid
from pipeline.model import Digest, canonical

if TYPE_CHECKING:
    from pipeline.formats.dsse import PrivateKey, PublicKey
    from pipeline.model import ImageRef

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
"""The media type of what is signed (sigstore/cosign, specs/SIGNATURE_SPEC.md)."""

SIGNATURE = "dev.cosignproject.cosign/signature"
"""The annotation with the signature, in base64 (the same)."""


def payload(image: ImageRef) -> bytes:
    """What is signed of an image: the same bytes, whoever signs it and however often."""
    return canonical(
        {
            "critical": {
                "identity": {"docker-reference": str(image.repository)},
                "image": {"docker-manifest-digest": str(image.digest)},
                "type": "cosign container image signature",
            },
            "optional": {},
        }
    )


def entry(image: ImageRef, key: PrivateKey) -> dict[str, Any]:
    """How a list of signatures names one that is made by this key now: its payload, and what signs that."""
    body = payload(image)
    signature = base64.b64encode(key.sign(body, ECDSA(SHA256()))).decode()
    return {
        "mediaType": PAYLOAD,
        "digest": str(Digest.of(body)),
        "size": len(body),
        "annotations": {SIGNATURE: signature},
    }


def is_by(listed: Any, image: ImageRef, key: PublicKey) -> bool:
    """Whether an entry of a list, which anybody may have written, is this key's signature of this image.

    One over another payload than ours is not, though it may be good: who made it knows of it.
    """
    body = payload(image)
    if not isinstance(listed, dict) or listed.get("digest") != str(Digest.of(body)):
        return False
    notes = listed.get("annotations")
    text = notes.get(SIGNATURE) if isinstance(notes, dict) else None
    try:
        signature = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        return False
    return is_valid(key, signature, body)
