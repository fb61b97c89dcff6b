"""The largest layer that a registry takes, where it says so: known before an upload of hours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pipeline.formats.units import size
from pipeline.model import Reason, ReasonCode, shown

if TYPE_CHECKING:
    from pipeline.formats.oci import Manifest


class Limit(NamedTuple):
    """How many bytes one layer may have at these hosts, and where that is written."""

    hosts: str
    layer_bytes: int
    source: str


_ECR = "https://docs.aws.amazon.com/AmazonECR/latest"

LIMITS = (
    Limit(
        r"ghcr\.io",
        10 * 10**9,
        "https://docs.github.com/packages/working-with-a-github-packages-registry/"
        "working-with-the-container-registry",
    ),
    Limit(r"public\.ecr\.aws", 10_000 << 20, f"{_ECR}/public/public-service-quotas.html"),
    Limit(
        r"[0-9]+\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?",
        52_000 << 20,
        f"{_ECR}/userguide/service-quotas.html",
    ),
)
"""GitHub's page also gives an upload ten minutes; how long one takes is not known before it."""


def too_large(manifest: Manifest, host: str) -> Reason | None:
    """Why the registry at this host will not take this image, by the sizes of its layers, if it will not.

    Raises ContentError where the manifest is no image's.
    """
    limit = next((limit for limit in LIMITS if re.fullmatch(f"{limit.hosts}(:443)?", host)), None)
    large = [layer for layer in manifest.layers if limit and layer.size > limit.layer_bytes]
    if not limit or not large:
        return None
    names = ", ".join(f"{layer.digest} with {size(layer.size)}" for layer in large[:_NAMED])
    return Reason(
        ReasonCode.LAYER_TOO_LARGE,
        f"{shown(host)} takes no layer over {size(limit.layer_bytes)}, and of {manifest.digest}"
        f" {len(large)} of {len(manifest.layers)} are larger: {names} ({limit.source})",
        "publish to a registry without that limit with --repository, or leave packages out of the image",
    )


_NAMED = 3
