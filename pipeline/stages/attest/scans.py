"""A scan for known weaknesses as others can check it: a statement of in-toto's own type, about one image.

What another scanner found and a signer signed is read as well: all that counts is whose signature it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.formats import dsse, vulns
from pipeline.formats.dsse import STATEMENT, InvalidAttestationError, subjects_of
from pipeline.model import ReasonCode, canonical
from pipeline.stages.attest import links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import Digest, Links, Repository, Scan

PREDICATES = vulns.PREDICATES
"""The predicates of a scan."""


def sign(scan: Scan, repository: Repository, key: PrivateKey, *, previous: Links = links.NONE) -> bytes:
    """The signed scan, as a bundle, about the image where it is to be published.

    ``previous`` names the attestations of the image when it was scanned.
    """
    value = {
        "_type": STATEMENT,
        "subject": [{"name": str(repository), "digest": {"sha256": scan.digest.removeprefix("sha256:")}}],
        "predicateType": vulns.PREDICATE,
        "predicate": {**vulns.written(scan), **links.written(previous)},
    }
    return dsse.sign(canonical(value), key)


def scan_of(value: Mapping[str, Any], subject: Digest) -> tuple[Scan, Links]:
    """The scan in a signed statement of its type, which has to be about this image.

    Raises InvalidAttestationError for anything else.
    """
    predicate = value.get("predicate")
    if not isinstance(predicate, dict):
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, "has no predicate")
    if subject.hex not in subjects_of(value):
        raise InvalidAttestationError(ReasonCode.RECORD_SUBJECT, f"is a scan that is not about {subject}")
    try:
        return vulns.read(predicate, str(subject)), links.read(predicate)
    except vulns.InvalidScanError as error:
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, str(error)) from error
