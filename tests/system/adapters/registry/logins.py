"""A login that Docker stores, and what a registry answers that asks for one."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING

from pipeline.adapters.registry import Registry
from pipeline.model import Digest, Repository
from tests.raw_server import RawServer, answer

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BODY = b'{"schemaVersion": 2}'
DIGEST = Digest.of(BODY)


def store_login(server: RawServer, folder: Path, patch: pytest.MonkeyPatch, *, identity: bool) -> None:
    known = {"identitytoken": "identity"} if identity else {"auth": b64encode(b"user:password").decode()}
    (folder / "config.json").write_text(json.dumps({"auths": {server.host: known}}))
    patch.setenv("DOCKER_CONFIG", str(folder))


def registry(server: RawServer) -> Registry:
    return Registry(Repository(server.host, "x"), patience=0.5)


def challenge(realm: str, kind: str = "Bearer") -> bytes:
    return answer(401, {"WWW-Authenticate": f'{kind} realm="{realm}",service="s",scope="repository:x:pull"'})
