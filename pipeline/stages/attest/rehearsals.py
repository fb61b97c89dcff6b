"""The rehearsal as others can check it: an in-toto statement of a type of our own, about one image.

The type is not that of a record, so nothing that reads records for a proof ever takes it for one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.formats import dsse
from pipeline.formats.dsse import STATEMENT, InvalidAttestationError, parsed
from pipeline.model import PROJECT, ReasonCode, Rehearsal, canonical, to_json
from pipeline.stages.attest import links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import Digest, Links

REHEARSAL = f"urn:{PROJECT}:rehearsal:v1"
"""The predicate of a rehearsal."""


def statement(rehearsal: Rehearsal, previous: Links = links.NONE) -> bytes:
    """What is signed: the in-toto statement of a rehearsal, about the image where it is to be published.

    ``previous`` names the attestations of the image when it was rehearsed.
    """
    digest = {"sha256": rehearsal.digest.removeprefix("sha256:")}
    value = {
        "_type": STATEMENT,
        "subject": [{"name": rehearsal.repository, "digest": digest}],
        "predicateType": REHEARSAL,
        "predicate": {**to_json(rehearsal), **links.written(previous)},
    }
    return canonical(value)


def sign(rehearsal: Rehearsal, key: PrivateKey, *, previous: Links = links.NONE) -> bytes:
    """The signed rehearsal, as a bundle; ``previous`` names the attestations before it."""
    return dsse.sign(statement(rehearsal, previous), key)


def rehearsal_of(value: Mapping[str, Any], subject: Digest) -> tuple[Rehearsal, Links]:
    """The rehearsal in a signed statement about this image.

    Raises InvalidAttestationError for anything else.
    """
    predicate = value.get("predicate")
    if not isinstance(predicate, dict):
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, "has no predicate")
    previous = links.read(predicate)
    rest = {name: member for name, member in predicate.items() if name != links.MEMBER}
    rehearsal = parsed(Rehearsal, rest, "holds no rehearsal")
    if rehearsal.digest != str(subject):
        raise InvalidAttestationError(
            ReasonCode.RECORD_SUBJECT, f"is about {rehearsal.digest}, not about {subject}"
        )
    if value != json.loads(statement(rehearsal, previous)):
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, "states something else than the rehearsal in it"
        )
    return rehearsal, previous
