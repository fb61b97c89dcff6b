"""What a server answered that runs already, signed: a statement of a type of its own, which no gate reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.formats import dsse
from pipeline.formats.dsse import STATEMENT
from pipeline.model import PROJECT, canonical, to_json

if TYPE_CHECKING:
    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import DeploymentRecord

DEPLOYMENT = f"urn:{PROJECT}:deployment-test-result:v1"
"""The predicate of a record of a server that was asked by its address."""


def sign(record: DeploymentRecord, key: PrivateKey) -> bytes:
    """The signed record, as a bundle; its subject is what the server says of itself, by its address."""
    value = {
        "_type": STATEMENT,
        "subject": [{"name": record.url, "digest": {"sha256": record.digest.removeprefix("sha256:")}}],
        "predicateType": DEPLOYMENT,
        "predicate": to_json(record),
    }
    return dsse.sign(canonical(value), key)
