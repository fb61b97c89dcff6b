"""The record as others can check it: an in-toto statement of type test-result v0.1, about one image.

Any in-toto reader knows that predicate; our whole record stands in it in one more field.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.formats import dsse
from pipeline.formats.dsse import STATEMENT, InvalidAttestationError, parsed, shown
from pipeline.model import PROJECT, Outcome, ReasonCode, Record, canonical, to_json
from pipeline.stages.attest import links

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import Digest, Links

PREDICATE = dsse.TEST_RESULT
BARE_METAL = f"urn:{PROJECT}:bare-metal-test-result:v1"
"""The predicate of a record of an environment that is no image; no gate reads it."""
ANY_IMAGE = f"urn:{PROJECT}:any-image-test-result:v1"
"""The same of an image that no matrix has: it never speaks for a tag."""
EXTENSION = dsse.RECORD


def statement(record: Record, predicate: str = PREDICATE, previous: Links = links.NONE) -> bytes:
    """What is signed: the in-toto statement of a record, about the image in its destination repository.

    ``previous`` names the attestations of the image when it was tried.
    """
    value = {
        "_type": STATEMENT,
        "subject": [{"name": record.repository, "digest": {"sha256": record.digest.removeprefix("sha256:")}}],
        "predicateType": predicate,
        "predicate": {
            "result": record.result.value,
            "configuration": [
                {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
                for name, digest in (("suite", record.suite), ("lock", record.lock), ("model", record.model))
                if digest
            ],
            **_tests(record),
            EXTENSION: to_json(record),
            **links.written(previous),
        },
    }
    return canonical(value)


def sign(
    record: Record,
    key: PrivateKey,
    *,
    predicate: str = PREDICATE,
    previous: Links = links.NONE,
) -> bytes:
    """The signed record, as a bundle; ``previous`` names the attestations before it."""
    return dsse.sign(statement(record, predicate, previous), key)


def record_of(value: Mapping[str, Any], subject: Digest) -> tuple[Record, Links]:
    """The record of a signed statement that is about this image and says nothing that contradicts it.

    Raises InvalidAttestationError for anything else.
    """
    if value.get("predicateType") != PREDICATE:
        raise InvalidAttestationError(
            ReasonCode.RECORD_TYPE, f"states {shown(value.get('predicateType'))}, not {PREDICATE}"
        )
    predicate = value.get("predicate")
    if not isinstance(predicate, dict):
        raise InvalidAttestationError(ReasonCode.RECORD_MALFORMED, "has no predicate")
    record = parsed(Record, predicate.get(EXTENSION), "has no record of ours")
    try:
        datetime.fromisoformat(record.started)
        datetime.fromisoformat(record.finished)
    except ValueError as error:
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, f"has no record of ours: {error}"
        ) from error
    previous = links.read(predicate)
    if value != json.loads(statement(record, previous=previous)):
        raise InvalidAttestationError(
            ReasonCode.RECORD_MALFORMED, "states something else than the record in it"
        )
    if record.digest != str(subject):
        raise InvalidAttestationError(
            ReasonCode.RECORD_SUBJECT, f"is about {record.digest}, not about {subject}"
        )
    return record, previous


def _tests(record: Record) -> dict[str, Sequence[str]]:
    """The check names as test-result has them. What could not be found out is a warning, not a pass."""
    return {
        "passedTests": record.named(Outcome.PASSED),
        "warnedTests": record.named(Outcome.INCONCLUSIVE),
        "failedTests": record.named(Outcome.FAILED),
    }
