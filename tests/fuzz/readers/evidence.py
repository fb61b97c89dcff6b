"""Keys, and what is signed with them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.adapters import signing_keys
from pipeline.formats import dsse
from pipeline.model import Certificate, Check, Digest, Host, Outcome, Record, Result, Sizes
from pipeline.stages import attest
from pipeline.stages.attest import certificates
from tests.fuzz.reader import Reader, put
from tests.fuzz.readers.written import CPU

if TYPE_CHECKING:
    from pathlib import Path

KEY = generate_private_key(SECP256R1())
TRUSTED = signing_keys.trusted([KEY.public_key()])
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
DIGEST = Digest(f"sha256:{'a' * 64}")
RECORD = Record(
    schema=1,
    cell=CPU.id,
    repository="127.0.0.1:5000/a",
    digest=str(DIGEST),
    build_key="b" * 64,
    proof_key="c" * 64,
    lock=f"sha256:{'7' * 64}",
    suite=f"sha256:{'5' * 64}",
    model=f"sha256:{'6' * 64}",
    host=Host(hardware="cpu-amd64", system="Linux", cpu="a processor", memory_bytes=2**35),
    started="2030-01-02T03:04:05Z",
    finished="2030-01-02T03:05:05Z",
    attempt=1,
    checks=(Check(name="serve", outcome=Outcome.PASSED, seconds=31.25),),
    result=Result.PASSED,
)
CERTIFICATE = Certificate(
    schema=1,
    name="an image",
    repository="127.0.0.1:5000/a",
    inputs="7" * 64,
    digest=str(DIGEST),
    findings=(),
    sizes=Sizes(compressed=1, installed=1),
    facts="2026-11-24",
    tool="tests",
    created="2030-01-02T03:05:05Z",
)


def read_key(data: bytes, place: Path) -> object:
    path = put(place, "key.pem", data)
    path.chmod(0o600)
    return signing_keys.load(path)


def read_statement(data: bytes, _: Path) -> object:
    """Signed by a trusted key, whatever it says."""
    return attest.read(dsse.sign(data, KEY), DIGEST, TRUSTED, manifest=DIGEST)


def payload(bundle: bytes) -> bytes:
    return base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])


BUNDLES = (attest.sign(RECORD, KEY), certificates.sign(CERTIFICATE, KEY))


READERS = (
    Reader("public key", lambda data, place: signing_keys.read_public(put(place, "a.pub", data)),
           (signing_keys.public_pem(KEY.public_key()),)),
    Reader("private key", read_key, (PRIVATE,)),
    Reader("key of the environment",
           lambda data, _: signing_keys.load(pem=data.decode("utf-8", "surrogateescape")), (PRIVATE,)),
    Reader("bundle", lambda data, _: attest.read(data, DIGEST, TRUSTED, manifest=DIGEST), BUNDLES),
    Reader("statement", read_statement, tuple(map(payload, BUNDLES))),
)  # fmt: skip
