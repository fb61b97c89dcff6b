"""What a tag of ours is, by its name: an image's channel or immutable tag, or a list of what is signed."""

from __future__ import annotations

import re

from pipeline.model.references import Digest

_BUILD_KEY = re.compile(r"[0-9a-f]{64}")
_IMMUTABLE = re.compile(r".+-[0-9a-f]{12}")
_LIST = re.compile(r"sha256-([0-9a-f]{64})(\..*)?")


def is_immutable(tag: str) -> bool:
    """Whether it is written once, for one publication: a cell's id and the beginning of a build key."""
    return _IMMUTABLE.fullmatch(tag) is not None


def is_build_key(tag: str) -> bool:
    """Whether it is the tag of a candidate: the whole build key, as staging keeps it."""
    return _BUILD_KEY.fullmatch(tag) is not None


def signed_digest(tag: str) -> Digest | None:
    """The digest beside which the statements of a list are (OCI's referrers tag schema, cosign's ``.att``).

    None for the tag of an image. A list stays when the last tag of its image goes.
    """
    match = _LIST.fullmatch(tag)
    return Digest(f"sha256:{match[1]}") if match else None
