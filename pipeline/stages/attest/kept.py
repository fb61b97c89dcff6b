"""A record that somebody kept, signed or not, to be tried again: nothing in it is believed."""

from __future__ import annotations

from pipeline.formats import dsse
from pipeline.formats.dsse import parsed
from pipeline.model import DeploymentRecord, Record
from pipeline.stages.attest.deployments import DEPLOYMENT
from pipeline.stages.attest.records import EXTENSION


def record_in(body: bytes) -> Record | DeploymentRecord:
    """The record in a bundle, whose signature is not asked for, or a record alone, as JSON.

    Raises InvalidAttestationError where it is neither.
    """
    value = dsse.json_object(body, "the record")
    if "dsseEnvelope" in value:
        statement = dsse.unverified(body)
        predicate = statement.get("predicate")
        if statement.get("predicateType") == DEPLOYMENT:
            return parsed(DeploymentRecord, predicate, "holds no record of a deployment")
        inner = predicate.get(EXTENSION) if isinstance(predicate, dict) else None
        return parsed(Record, inner, "holds no record of ours")
    if "url" in value:
        return parsed(DeploymentRecord, value, "is no record of a deployment")
    return parsed(Record, value, "is no record of ours")
