"""A publication that is killed at any request: no tag lacks its proof, and a second run ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.model import Publication
from tests.system.publish.publishing import assert_every_tag_is_proven, moving, put

if TYPE_CHECKING:
    from tests.system.conftest import Answer, Bench, Proxy

pytestmark = pytest.mark.needs("registry")

EVERY = int(os.environ.get("TAGPROOF_KILLS", "29"))
"""Requests between two kills; 1 where somebody has the hours."""

PUBLISHER = """
import sys
from pipeline.adapters import signing_keys
from pipeline.model import Image, ImageRef, Repository
from pipeline.adapters.registry import Registry
from tests.builders import CPU_CELL
from tests.system.conftest import Bench
from tests.system.publish.publishing import put

staging, home, through, digest, build_key, lock = sys.argv[1:]
parse = Repository.parse
key = signing_keys.load(pem=sys.stdin.read())
bench = Bench(Registry(parse(staging)), Registry(parse(through)), key, parse(home))
image = Image(CPU_CELL, ImageRef.parse(f"{staging}@{digest}"), build_key, lock)
put(bench, image, bench.gate(image).decide(bench.evidence.attestations_of(bench.staging, image.ref.digest)))
"""


def test_killed_at_any_request_no_tag_lacks_its_proof_and_a_second_run_ends_it(
    bench: Bench, proxy: Proxy
) -> None:
    """SIGKILL, from a channel that names an older image; in every list there is everything afterwards."""
    kills = 0
    for last in count(1, EVERY):
        own, image, decision = moving(bench)
        proxy.seen.clear()
        key = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        destination = own.destination.repository
        words = (own.staging.repository, destination, f"{proxy.host}/{destination.path}", image.ref.digest)
        with subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, *map(str, words), image.build_key, image.lock],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        ) as publisher:

            def kill(
                _method: str, _path: str, publisher: subprocess.Popen[bytes] = publisher, last: int = last
            ) -> Answer | None:
                if len(proxy.seen) == last:
                    publisher.kill()
                return None

            proxy.before = kill
            publisher.communicate(key)
        assert_every_tag_is_proven(own)
        if publisher.returncode == 0:
            break
        kills += 1
        assert isinstance(put(own, image, decision), Publication)
        assert_every_tag_is_proven(own)
        assert own.evidence.attestations_of(own.destination, image.ref.digest).unlisted == ()
    assert kills * EVERY > 100
