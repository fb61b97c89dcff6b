"""A registry, and what it leads to."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.layout import Layout
from pipeline.adapters.registry import Descriptor, Manifest, Registry
from pipeline.formats import dsse
from pipeline.model import Digest, Repository
from pipeline.model.errors import TagproofError
from tests.crafted import Item, config_of, tar
from tests.fuzz.answering import hosts_that_answer, http
from tests.fuzz.reader import Reader, put
from tests.fuzz.readers.evidence import DIGEST
from tests.fuzz.readers.images import manifest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HERE = Repository("127.0.0.1:5000", "a")
MANIFEST = manifest_of([tar(Item("a"))])
KIND = "application/vnd.oci.image.manifest.v1+json"
LIST = "application/vnd.oci.image.index.v1+json"
MANIFESTED = http(200, MANIFEST, Content_Type=KIND)
CHALLENGE = http(401, b"", WWW_Authenticate='Bearer realm="http://127.0.0.1:5000/token",service="x"')
REFUSAL = json.dumps({"errors": [{"code": "DENIED", "message": "no"}]}).encode()
LISTED = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": LIST,
        "tags": ["a", "b"],
        "manifests": [
            {
                "mediaType": KIND,
                "digest": str(DIGEST),
                "size": 9,
                "artifactType": dsse.BUNDLE,
                "annotations": {"a": "b"},
            }
        ],
    }
).encode()


def ask_all(registry: Registry) -> object:
    """All that is read from a registry, one after the other, each for itself."""
    blob = Descriptor(KIND, DIGEST, 9)
    asked: tuple[Callable[[], object], ...] = (
        lambda: registry.digest_of("a-tag"),
        lambda: registry.manifest("a-tag"),
        lambda: registry.manifest(DIGEST),
        lambda: registry.blob_size(DIGEST),
        lambda: registry.blob(DIGEST),
        lambda: _all_of(registry, blob),
        registry.tags,
        lambda: registry.referrers(DIGEST, dsse.BUNDLE),
        lambda: registry.put_blob(b"a blob"),
        lambda: registry.put_manifest(Manifest(MANIFEST, KIND), "a-tag"),
    )
    for ask_one in asked:
        with suppress(TagproofError):
            ask_one()
    return registry.manifest("a-tag")


def _all_of(registry: Registry, blob: Descriptor) -> list[bytes]:
    with registry.stream(blob) as pieces:
        return list(pieces)


def speak(data: bytes, _: Path) -> object:
    """A registry that says this to every request, byte for byte."""
    with hosts_that_answer(data):
        return ask_all(Registry(HERE, patience=0.0))


def answer_with(kind: str, status: int = 200, **headers: str) -> Callable[[bytes, Path], object]:
    """Feeds the body of every answer, of this media type."""

    def feed(data: bytes, place: Path) -> object:
        return speak(http(status, data, Content_Type=kind, **headers), place)

    return feed


TOKEN = b'{"token": "abc"}'


def give_token(data: bytes, place: Path) -> object:
    """What a token service says, to somebody without a stored login."""
    return log_in(b"{}", place, CHALLENGE, http(200, data))


def log_in(data: bytes, place: Path, *answers: bytes) -> object:
    """With what Docker's own configuration holds."""
    put(place, "config.json", data)
    with pytest.MonkeyPatch.context() as patch, hosts_that_answer(*answers, MANIFESTED):
        patch.setenv("DOCKER_CONFIG", str(place))
        registry = Registry(HERE, patience=0.0)
        registry._session._authorizer._authorizations.clear()
        return registry.digest_of("a-tag")


def read_configuration(data: bytes, _: Path) -> object:
    """The configuration of an image in a registry, under its true digest."""
    config = {"mediaType": "x", "digest": str(Digest.of(data)), "size": len(data)}
    body = json.dumps({"schemaVersion": 2, "mediaType": KIND, "config": config, "layers": []}).encode()
    with hosts_that_answer(http(200, body, Content_Type=KIND), http(200, data)):
        return Registry(HERE, patience=0.0).config(HERE.at(Digest.of(body)))


OF_A_FOLDER = Manifest(MANIFEST, KIND)
INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "manifests": [
            {**OF_A_FOLDER.descriptor.plain, "annotations": {"org.opencontainers.image.ref.name": "a"}}
        ],
        "annotations": {"tagproof.repository": str(HERE)},
    }
).encode()


def read_folder(data: bytes, place: Path) -> object:
    """The index of a layout, which lists one image."""
    put(place, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    put(place, f"blobs/sha256/{OF_A_FOLDER.digest.hex}", MANIFEST)
    layout = Layout.read(put(place, "index.json", data).parent)
    return layout.tags(), layout.images(), layout.referrers(DIGEST, dsse.BUNDLE)


READERS = (
    Reader("index of a folder of images", read_folder, (INDEX,)),
    Reader("wire of a registry", speak, (MANIFESTED,),
           (http(429, REFUSAL, Retry_After="1", Link='</v2/a>; rel="next"'), CHALLENGE,
            http(307, b"", Location="/elsewhere"))),
    Reader("manifest of a registry", answer_with(KIND), (MANIFEST,)),
    Reader("lists of a registry", answer_with(LIST), (LISTED,)),
    Reader("refusal of a registry", answer_with("application/json", 403), (), (REFUSAL,)),
    Reader("configuration in a registry", read_configuration, (config_of([tar(Item("a"))]),)),
    Reader("token service", give_token, (TOKEN, b'{"access_token": "abc", "expires_in": 60}')),
    Reader("Docker's logins", lambda data, place: log_in(data, place, CHALLENGE, http(200, TOKEN)),
           (b'{"auths": {"127.0.0.1:5000": {"auth": "dTpw"}}}',)),
)  # fmt: skip
