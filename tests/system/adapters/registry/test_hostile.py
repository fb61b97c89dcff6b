"""Whatever a registry or its token service answers, each method ends in time: with a value or our error."""

from __future__ import annotations

import inspect
import json
import time
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.adapters.registry import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, Registry
from pipeline.adapters.web import deadline
from pipeline.model import Digest, Repository
from pipeline.model.errors import RegistryError
from tests.raw_server import Asked, RawServer, answer, raw_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hypothesis.strategies import SearchStrategy

BODY = b"{}"
DIGEST = Digest.of(BODY)
BLOB = Descriptor("application/octet-stream", DIGEST, len(BODY))
IMAGE = Manifest(
    json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": BLOB.plain,
            "layers": [BLOB.plain],
            "subject": BLOB.plain,
        }
    ).encode(),
    OCI_MANIFEST,
)

METHODS: dict[str, Callable[[Registry, Registry], object]] = {
    "digest_of": lambda here, _: here.digest_of("latest"),
    "manifest": lambda here, _: touched(here.manifest("latest")),
    "config": lambda here, _: here.config(here.repository.at(DIGEST)),
    "blob_size": lambda here, _: here.blob_size(DIGEST),
    "has_blob": lambda here, _: here.has_blob(DIGEST),
    "blob": lambda here, _: here.blob(DIGEST),
    "stream": lambda here, _: streamed(here),
    "has_manifest": lambda here, _: here.has_manifest(DIGEST),
    "tags": lambda here, _: here.tags("sha256-0."),
    "referrers": lambda here, _: here.referrers(DIGEST, "application/x+json"),
    "intact": lambda here, _: here.intact(here.repository.at(IMAGE.digest)),
    "missing": lambda here, _: here.missing(IMAGE),
    "put_blob": lambda here, _: here.put_blob(BODY),
    "refuse_read_only": lambda here, _: here.refuse_read_only(),
    "mount": lambda here, there: here.mount(DIGEST, there.repository),
    "copy_blob": lambda here, there: here.copy_blob(BLOB, there),
    "mount_or_copy_blob": lambda here, there: here.mount_or_copy_blob(BLOB, there),
    "mount_or_copy_blobs": lambda here, there: here.mount_or_copy_blobs([BLOB], there),
    "put_manifest": lambda here, _: here.put_manifest(IMAGE, "latest"),
    "put_tag": lambda here, _: here.put_tag("latest", DIGEST),
    "store": lambda here, _: here.store(IMAGE),
    "delete_manifest": lambda here, _: here.delete_manifest(DIGEST),
    "delete_tag": lambda here, _: here.delete_tag("latest"),
    "attach": lambda here, _: here.attach(IMAGE.descriptor, "application/x+json", BODY, {}),
    "put_referrer": lambda here, _: here.put_referrer(IMAGE),
    "pages": lambda here, _: list(here.pages("/tags/list")),
}


def touched(manifest: Manifest | None) -> object:
    """Everything that a manifest may be asked."""
    if manifest is None:
        return None
    return manifest.digest, manifest.document, manifest.descriptor, manifest.subject, manifest.blobs


def streamed(here: Registry) -> bytes:
    with here.stream(BLOB) as pieces:
        return b"".join(pieces)


def test_every_public_method_is_in_the_table() -> None:
    """One that is forgotten here is one that nobody has tried on a hostile registry."""
    public = {
        name for name, _ in inspect.getmembers(Registry, inspect.isfunction) if not name.startswith("_")
    }
    assert public <= set(METHODS), public - set(METHODS)


# -- answers ------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [str(DIGEST), "sha256:", OCI_MANIFEST, OCI_INDEX, "\ud800", "\x1b[2J", "::error::x", "²", "9" * 400]
    ),
)
NAMES = st.sampled_from(
    [
        *("errors", "code", "message", "tags", "name", "manifests", "layers", "config", "subject", "digest"),
        *("mediaType", "size", "annotations", "artifactType", "token", "access_token", "Labels", "created"),
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
DOCUMENTS = st.one_of(
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            BODY,
            IMAGE.body,
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"1" * 5000,
            b"\xff\xfe{\x00}\x00",
            b"\xef\xbb\xbf{}",
            b'{"errors": []}',
            b'{"errors": {}}',
            b'{"errors": 5}',
            b'{"errors": [5]}',
            b'{"errors": [{"code": {}, "message": "\\u001b]0;x\\u0007\\n::error::"}]}',
            b'{"errors": [[]]}',
            b"NaN",
        ]
    ),
    st.binary(max_size=200),
)
HEADERS: dict[str, list[str]] = {
    "Content-Type": [OCI_MANIFEST, OCI_INDEX, "", ";", "text/html", "\x7f", "\u00fc"],
    "Docker-Content-Digest": [str(DIGEST), "sha256:", "sha512:" + "0" * 128, "x" * 5000, "\u00fc", ""],
    "Location": [
        "/" + "x" * 65_400,
        "/" + "\u00fc" * 7000,
        *(
            "/x",
            "",
            "//",
            "http://[::1",
            "http://[::1]:1/",
            "http://127.0.0.1:99999/",
            "http://a..b/",
            "x" * 70_000,
        ),
        *(
            "ftp://x/",
            "file:///etc/passwd",
            "http://127.0.0.1:1/%0d%0aX",
            "?",
            "\u00b2",
            "http://\u00fc/",
            "/%zz",
        ),
        *(
            "https://127.0.0.1:1/",
            "http://127.0.0.1@192.0.2.7/",
            f"http://{'a' * 70}.example/",
            "http://xn--a/",
        ),
    ],
    "Link": ["</x>; rel=next", "<>; rel=next", "<http://[::1>; rel=next", "<\u00b2>;rel=next", "<" * 1000],
    "Retry-After": ["\u00b2", "0", "9" * 400, "-1", "Wed, 21 Oct 2015 07:28:00 GMT", "1e5", ""],
    "WWW-Authenticate": [
        'Bearer realm="{here}/token",scope="' + "\u00fc" * 20_000 + '"',
        'Bearer realm="{here}/token",service="' + "s" * 70_000 + '"',
        *(
            "Basic",
            "Bearer",
            'Bearer realm="http://[::1"',
            'Bearer realm=""',
            "bearer realm=x",
            "Digest a=b",
            "",
        ),
        *(
            'Bearer realm="http://127.0.0.1:1/t"',
            'Bearer realm="{here}/token",scope="\u00fc \\"',
            'Bearer realm="{here}/t',
        ),
        'Bearer realm="{here}/token",service="\x7f",scope="a b"',
    ],
    "Content-Encoding": ["gzip", "gzip, gzip", "identity", "br", "\u00fc"],
    "Content-Length": ["\u00b2", "-1", "0", "5", "99999999999999999999", "1e3", "2, 2", "2, 3", ""],
    "Transfer-Encoding": ["chunked", "gzip", "chunked, chunked", "identity"],
    "Content-Range": ["bytes 0-1/2", "x"],
    "OCI-Subject": ["x"],
    "Connection": ["upgrade", "close", "keep-alive"],
    "Upgrade": ["websocket"],
}
STATUSES = st.sampled_from(
    [
        200,
        201,
        202,
        204,
        206,
        301,
        302,
        303,
        304,
        307,
        308,
        400,
        401,
        403,
        404,
        405,
        416,
        429,
        500,
        501,
        503,
        507,
    ]
) | st.integers(100, 999)


@st.composite
def formed(draw: st.DrawFn) -> bytes:
    """An answer with a status, headers and a body, each of them possibly wrong."""
    names = draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=4, unique=True))
    headers = {name: draw(st.sampled_from(HEADERS[name])) for name in names}
    return answer(draw(STATUSES), {name: latin(text) for name, text in headers.items()}, draw(DOCUMENTS))


def latin(text: str) -> str:
    """Any text, as the bytes of a header have it."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


RAW = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=100).map(lambda junk: b"HTTP/1.1 200 x\r\n" + junk + b"\r\n\r\n{}"),
    st.binary(max_size=100).map(
        lambda junk: b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n" + junk + b"\r\n0\r\n\r\n"
    ),
    st.sampled_from(
        [
            b"",
            b"HTTP/1.1",
            b"HTTP/0.9 200 x\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 99 x\r\n\r\n",
            b"HTTP/1.1 1000 x\r\n\r\n",
            b"HTTP/1.1 200 x\r\nA\r\n\r\n",
            b"HTTP/1.1 200 x\r\n: a\r\n\r\n",
            b"HTTP/1.1 200 x\r\nA: b\r\n c\r\n\r\n{}",
            b"HTTP/1.1 200 x\r\nA: \x00\r\n\r\n",
            b"HTTP/1.1 101 x\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n{}",
            b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
            b"HTTP/1.1 200 " + b"x" * 200_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\n{}",
            b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
            b"SSH-2.0-x\r\n",
        ]
    ),
)
ANSWERS: SearchStrategy[list[bytes]] = st.lists(formed() | RAW, min_size=1, max_size=4)


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    """Answers as it is told to."""
    with raw_server() as running:
        yield running


@pytest.fixture
def login(
    server: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Little time, and a login for the server."""
    kind = getattr(request, "param", {"auth": b64encode(b"user:password").decode()})
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: kind}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(deadline, "BASE_SECONDS", 1.0)


@pytest.mark.parametrize(
    "name", ["\x00", "\ud800", "a b", "../..", "x" * 70_000, "\r\nX: y", "\u202e", "%", "#"]
)
def test_a_name_that_cannot_be_asked_for_is_no_traceback(server: RawServer, name: str) -> None:
    """A list of tags is a stranger's, too."""
    server.reply = lambda _asked: answer(404)
    here = Registry(Repository(server.host, "x"), patience=0.01)
    value, error = outcome(lambda: (here.manifest(name), here.digest_of(name)))
    assert value == (None, None) or error


@pytest.mark.usefixtures("login")
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=ANSWERS)
def test_a_hostile_registry_makes_errors_of_ours(
    server: RawServer, method: str, answers: list[bytes]
) -> None:
    """Random statuses, headers, documents and bytes: a value, or an error with a printable text."""
    tried(server, method, answers)


def tried(server: RawServer, method: str, answers: list[bytes]) -> Any:
    """What a method makes of these answers, the last of which is repeated."""
    count = 0

    def reply(_asked: Asked) -> bytes:
        nonlocal count
        count += 1
        body = answers[min(count, len(answers)) - 1]
        return body.replace(b"{here}", f"http://{server.host}".encode())

    server.reply = reply
    here = Registry(Repository(server.host, "x"), patience=0.01)
    there = Registry(Repository(server.host, "y"), patience=0.01)
    began = time.monotonic()
    value, error = outcome(lambda: METHODS[method](here, there))
    assert time.monotonic() - began < 10
    server.asked.clear()
    if error:
        assert (error.exit_code, bool(error.hint)) == (3, True)
        assert all(line.isprintable() for line in error.what.split("\n")), error.what
        assert len(error.what) < 2000
    return value


def outcome(attempt: Callable[[], object]) -> tuple[object, RegistryError | None]:
    """What comes of it; any other error is one of the test."""
    try:
        return attempt(), None
    except RegistryError as error:
        return None, error
