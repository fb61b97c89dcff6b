"""A part of a day with a GPU, signed: a statement of a type of its own, which no gate reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.formats import dsse
from pipeline.formats.dsse import STATEMENT, InvalidAttestationError, parsed
from pipeline.model import PROJECT, Part, ReasonCode, canonical, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.formats.dsse import PrivateKey, PublicKey

GPU_DAY = f"urn:{PROJECT}:gpu-day-part:v1"
"""The predicate of a part."""


def sign(part: Part, key: PrivateKey) -> bytes:
    """The signed part, as a bundle; its subject is the image or the environment that it is about."""
    value = {
        "_type": STATEMENT,
        "subject": [{"name": part.cell, "digest": {"sha256": part.digest.removeprefix("sha256:")}}],
        "predicateType": GPU_DAY,
        "predicate": to_json(part),
    }
    return dsse.sign(canonical(value), key)


def part_of(bundle: bytes, trusted: Mapping[str, PublicKey]) -> Part:
    """The part in a bundle that one of these keys signed. Raises InvalidAttestationError for any other."""
    value, _ = dsse.verify(bundle, trusted)
    if value.get("predicateType") != GPU_DAY:
        raise InvalidAttestationError(ReasonCode.RECORD_TYPE, f"states something else than {GPU_DAY}")
    return parsed(Part, value.get("predicate"), "holds no part of a day")
