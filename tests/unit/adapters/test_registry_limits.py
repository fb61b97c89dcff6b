"""What a registry is known not to take is said before anything is uploaded."""

from __future__ import annotations

import json

import pytest

from pipeline.adapters.registry import OCI_INDEX, OCI_MANIFEST, ContentError, Manifest
from pipeline.adapters.registry.limits import too_large
from pipeline.model import Digest

GB = 10**9


def image(*sizes: int) -> Manifest:
    """An image with layers of so many bytes."""
    blobs = [{"mediaType": "x", "digest": str(Digest.of(b"%d" % size)), "size": size} for size in (1, *sizes)]
    document = {"mediaType": OCI_MANIFEST, "config": blobs[0], "layers": blobs[1:]}
    return Manifest(json.dumps(document).encode(), OCI_MANIFEST)


@pytest.mark.parametrize(
    ("host", "sizes"),
    [
        ("ghcr.io", (5, 10 * GB + 1)),
        ("ghcr.io:443", (10 * GB + 1,)),
        ("public.ecr.aws", (11 * GB,)),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", (60 * GB,)),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", (60 * GB,)),
    ],
)
def test_a_layer_over_the_limit_is_named_with_the_limit_and_its_source(
    host: str, sizes: tuple[int, ...]
) -> None:
    """Which layer, how large, how large it may be, and who says so."""
    reason = too_large(image(*sizes), host)
    assert reason
    assert reason.code == "layer-too-large"
    assert str(Digest.of(b"%d" % sizes[-1])) in reason.text
    assert "https://docs." in reason.text
    assert "--repository" in reason.hint


@pytest.mark.parametrize(
    ("host", "size"),
    [
        ("ghcr.io", 10 * GB),
        ("127.0.0.1:5000", 100 * GB),
        ("xghcr.io", 100 * GB),
        ("ghcr.io.example.org", 100 * GB),
        ("registry.example.org", 100 * GB),
    ],
)
def test_what_no_known_limit_forbids_is_tried(host: str, size: int) -> None:
    """A registry that is not in the table takes what it takes."""
    assert too_large(image(size), host) is None


def test_an_index_has_no_layers() -> None:
    """It is an error of ours."""
    with pytest.raises(ContentError, match="index of several images"):
        too_large(Manifest(b"{}", OCI_INDEX), "ghcr.io")
