"""The certificate as others can check it: an in-toto statement of a type of our own, about one image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.formats import dsse
from pipeline.formats.dsse import STATEMENT, InvalidAttestationError, parsed
from pipeline.model import PROJECT, Certificate, ReasonCode, canonical, to_json
from pipeline.stages.attest import links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import Digest, Links

CERTIFICATE = f"urn:{PROJECT}:certificate:v1"
"""The predicate of a static certificate."""


def statement(certificate: Certificate, previous: Links = links.NONE) -> bytes:
    """What is signed: the in-toto statement of a certificate, about the image where it is to be published.

    ``previous`` names the attestations of the image when its files were judged.
    """
    digest = {"sha256": certificate.digest.removeprefix("sha256:")}
    value = {
        "_type": STATEMENT,
        "subject": [{"name": certificate.repository, "digest": digest}],
        "predicateType": CERTIFICATE,
        "predicate": {**to_json(certificate), **links.written(previous)},
    }
    return canonical(value)


def sign(certificate: Certificate, key: PrivateKey, *, previous: Links = links.NONE) -> bytes:
    """The signed certificate, as a bundle; ``previous`` names the attestations before it."""
    return dsse.sign(statement(certificate, previous), key)


def certificate_of(value: Mapping[str, Any], subject: Digest) -> tuple[Certificate, Links]:
    """The certificate in a signed statement about this image.

    Raises InvalidAttestationError for anything else.
    """
    predicate = value.get("predicate")
    if not isinstance(predicate, dict):
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, "has no predicate")
    previous = links.read(predicate)
    rest = {name: member for name, member in predicate.items() if name != links.MEMBER}
    certificate = parsed(Certificate, rest, "holds no certificate")
    if certificate.digest != str(subject):
        raise InvalidAttestationError(
            ReasonCode.RECORD_SUBJECT, f"is about {certificate.digest}, not about {subject}"
        )
    if value != json.loads(statement(certificate, previous)):
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, "states something else than the certificate in it"
        )
    return certificate, previous
