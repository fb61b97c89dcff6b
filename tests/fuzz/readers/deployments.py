"""What a server that runs already says of itself, and records that are tried again: both may be anyone's."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.formats.dsse import InvalidAttestationError
from pipeline.model import DeploymentRecord, Result, canonical, to_json
from pipeline.stages import attest
from pipeline.suite.deployed import cards_of, version_of
from pipeline.suite.expect import Mismatch
from tests import builders
from tests.fuzz.reader import Reader

MODELS = json.dumps(
    {
        "object": "list",
        "data": [
            {"id": "served", "root": "/model", "parent": None, "max_model_len": 512},
            {"id": "adapter", "parent": "served"},
        ],
    }
).encode()

KEY = ec.generate_private_key(ec.SECP256R1())
RECORD = attest.sign(builders.record(), KEY, predicate=attest.ANY_IMAGE)
ASKED = DeploymentRecord(
    schema=1,
    url="http://127.0.0.1:8000",
    model="served",
    digest=f"sha256:{'a' * 64}",
    started=builders.STARTED,
    finished=builders.FINISHED,
    checks=(builders.check("serve"),),
    result=Result.PASSED,
)

READERS = (
    Reader("models of a server", lambda data, _: cards_of(data), (MODELS,), refuses=(Mismatch,)),
    Reader("version of a server", lambda data, _: version_of(data), (b'{"version": "0.32.0"}',)),
    Reader(
        "kept record",
        lambda data, _: attest.record_in(data),
        (RECORD, attest.deployments.sign(ASKED, KEY), canonical(to_json(ASKED))),
        refuses=(InvalidAttestationError,),
    ),
)
