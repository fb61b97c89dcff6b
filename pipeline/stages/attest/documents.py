"""Documents of other people's types beside an image: provenance, what it is made of, what the gate decided.

Their predicates hold nothing of ours: any program that knows the type reads them, and what another program
made of a type and a signer signed is read as well. They carry no links.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.formats import dsse
from pipeline.formats.dsse import STATEMENT, InvalidAttestationError, subjects_of
from pipeline.formats.moments import in_utc
from pipeline.model import Document, DocumentKind, ReasonCode, canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import Digest, Repository

KINDS = {kind.predicate: kind for kind in DocumentKind}
"""What a predicate's type says of a document."""

_CREATED = {
    DocumentKind.PROVENANCE: ("runDetails", "metadata", "finishedOn"),
    DocumentKind.CYCLONEDX: ("metadata", "timestamp"),
    DocumentKind.SPDX: ("creationInfo", "created"),
    DocumentKind.SUMMARY: ("timeVerified",),
    DocumentKind.VEX: ("timestamp",),
}
"""Where each says when it was made."""


def sign(document: Document, repository: Repository, key: PrivateKey) -> bytes:
    """The signed document, as a bundle, about the image where it is to be published."""
    value = {
        "_type": STATEMENT,
        "subject": [{"name": str(repository), "digest": {"sha256": document.digest.removeprefix("sha256:")}}],
        "predicateType": document.kind.predicate,
        "predicate": json.loads(document.text),
    }
    return dsse.sign(canonical(value), key)


def document_of(value: Mapping[str, Any], subject: Digest) -> Document:
    """The document in a signed statement of one of their types, which has to be about this image.

    Nothing else in it is looked at, for nothing depends on it. Raises InvalidAttestationError.
    """
    kind, predicate = KINDS[value["predicateType"]], value.get("predicate")
    if not isinstance(predicate, dict):
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, "has no predicate")
    if subject.hex not in subjects_of(value):
        raise InvalidAttestationError(ReasonCode.RECORD_SUBJECT, f"is a {kind} that is not about {subject}")
    created = _created(predicate, kind)
    try:
        text = canonical(predicate).decode()
    except ValueError as error:  # half of a surrogate pair
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, f"is a {kind} that is no text") from error
    return Document(kind, str(subject), created, text)


def _created(predicate: Mapping[str, Any], kind: DocumentKind) -> str:
    """When it says that it was made, in UTC: by that its signer's term is judged."""
    found: Any = predicate
    for name in _CREATED[kind]:
        found = found.get(name) if isinstance(found, dict) else None
    try:
        return in_utc(found)
    except (TypeError, ValueError) as error:
        where = ".".join(_CREATED[kind])
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, f"is a {kind} that does not say when it was made ({where})"
        ) from error
