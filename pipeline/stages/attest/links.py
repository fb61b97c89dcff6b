"""The links of a statement to those before it, signed with it: so one that is deleted later is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.formats.dsse import InvalidAttestationError
from pipeline.model import PROJECT, Digest, Links, ReasonCode

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMBER = f"{PROJECT}_links"
"""Where they stand in a predicate."""

NONE = Links()
"""Of the first statement about an image."""

MAX_LINKS = 1000
"""Links of one statement."""


def written(links: Links) -> dict[str, Any]:
    """The member of a predicate that holds these links; none where there is nothing to say."""
    value = {
        "follows": [str(digest) for digest in links.follows],
        "lost": [str(digest) for digest in links.lost],
    }
    return {MEMBER: value} if any(value.values()) else {}


def read(predicate: Mapping[str, Any]) -> Links:
    """The links in a predicate; none where it has none. Raises InvalidAttestationError for anything else."""
    value = predicate.get(MEMBER, {"follows": [], "lost": []})
    if not isinstance(value, dict) or set(value) != {"follows", "lost"}:
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, f"has no links in {MEMBER}")
    return Links(_digests(value["follows"]), _digests(value["lost"]))


def _digests(values: Any) -> tuple[Digest, ...]:
    if not isinstance(values, list) or len(values) > MAX_LINKS:
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, f"has no list of links in {MEMBER}")
    try:
        return tuple(Digest(value) for value in values)
    except (TypeError, ValueError) as error:
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, f"has a link in {MEMBER} that is no digest"
        ) from error
