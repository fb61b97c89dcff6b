"""What a server that runs already says of itself; it may be anyone's."""

from __future__ import annotations

import json

from pipeline.suite.deployed import cards_of, version_of
from pipeline.suite.expect import Mismatch
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

READERS = (
    Reader("models of a server", lambda data, _: cards_of(data), (MODELS,), refuses=(Mismatch,)),
    Reader("version of a server", lambda data, _: version_of(data), (b'{"version": "0.32.0"}',)),
)
