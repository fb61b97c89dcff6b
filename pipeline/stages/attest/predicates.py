"""Predicates of our own: a value of ours as others can check it, in an in-toto statement about one image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pipeline.formats import dsse
from pipeline.formats.dsse import STATEMENT, InvalidAttestationError, parsed
from pipeline.model import Frozen, ReasonCode, canonical, to_json
from pipeline.stages.attest import links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import Digest, Links


Value = TypeVar("Value", bound=Frozen)


@dataclass(frozen=True)
class Predicate(Generic[Value]):
    """A predicate whose content is one of our models, which has ``digest`` and ``repository``.

    ``uri`` is its type: not that of a record, so nothing that reads records for a proof takes it for one.
    ``word`` is what messages call it.
    """

    uri: str
    model: type[Value]
    word: str

    def statement(self, value: Value, previous: Links = links.NONE) -> bytes:
        """What is signed: the statement of a value, about the image where it is to be published.

        ``previous`` names the attestations of the image when the value was made.
        """
        predicate = to_json(value)
        digest = {"sha256": predicate["digest"].removeprefix("sha256:")}
        return canonical(
            {
                "_type": STATEMENT,
                "subject": [{"name": predicate["repository"], "digest": digest}],
                "predicateType": self.uri,
                "predicate": {**predicate, **links.written(previous)},
            }
        )

    def sign(self, value: Value, key: PrivateKey, *, previous: Links = links.NONE) -> bytes:
        """The signed value, as a bundle; ``previous`` names the attestations before it."""
        return dsse.sign(self.statement(value, previous), key)

    def read(self, value: Mapping[str, Any], subject: Digest) -> tuple[Value, Links]:
        """The value in a signed statement about this image.

        Raises InvalidAttestationError for anything else.
        """
        predicate = value.get("predicate")
        if not isinstance(predicate, dict):
            raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, "has no predicate")
        previous = links.read(predicate)
        rest = {name: member for name, member in predicate.items() if name != links.MEMBER}
        found = parsed(self.model, rest, f"holds no {self.word}")
        if rest["digest"] != str(subject):
            raise InvalidAttestationError(
                ReasonCode.RECORD_SUBJECT, f"is about {rest['digest']}, not about {subject}"
            )
        if value != json.loads(self.statement(found, previous)):
            raise InvalidAttestationError(
                ReasonCode.RECORD_MALFORMED, f"states something else than the {self.word} in it"
            )
        return found, previous
