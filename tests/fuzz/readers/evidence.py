"""Keys, and what is signed with them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.adapters import signing_keys
from pipeline.formats import dsse, simple_signing
from pipeline.stages import attest
from pipeline.stages.attest import certificates, rehearsals, transitions
from tests.builders import IMAGE, certificate, record, rehearsal, transition
from tests.fuzz.reader import Reader, put

if TYPE_CHECKING:
    from pathlib import Path

KEY = generate_private_key(SECP256R1())
TRUSTED = signing_keys.trusted([KEY.public_key()])
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
DIGEST = IMAGE.ref.digest


def read_key(data: bytes, place: Path) -> object:
    path = put(place, "key.pem", data)
    path.chmod(0o600)
    return signing_keys.load(path)


def read_statement(data: bytes, _: Path) -> object:
    """Signed by a trusted key, whatever it says."""
    return attest.read(dsse.sign(data, KEY), DIGEST, TRUSTED, manifest=DIGEST)


def payload(bundle: bytes) -> bytes:
    return base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])


BUNDLES = (
    attest.sign(record(), KEY),
    certificates.sign(certificate(), KEY),
    rehearsals.sign(rehearsal(), KEY),
    transitions.sign(transition(), KEY),
)


def read_signature(data: bytes, _: Path) -> object:
    """An entry of a list, which the registry's own reader has made JSON of."""
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return simple_signing.is_by(entry, IMAGE.ref, KEY.public_key())


READERS = (
    Reader("public key", lambda data, place: signing_keys.read_public(put(place, "a.pub", data)),
           (signing_keys.public_pem(KEY.public_key()),)),
    Reader("private key", read_key, (PRIVATE,)),
    Reader("key of the environment",
           lambda data, _: signing_keys.load(pem=data.decode("utf-8", "surrogateescape")), (PRIVATE,)),
    Reader("bundle", lambda data, _: attest.read(data, DIGEST, TRUSTED, manifest=DIGEST), BUNDLES),
    Reader("statement", read_statement, tuple(map(payload, BUNDLES))),
    Reader("plain signature", read_signature, (json.dumps(simple_signing.entry(IMAGE.ref, KEY)).encode(),)),
)  # fmt: skip
