"""Downloads against a real server on loopback: resumed or repeated, never half used, never another file."""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import re
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pipeline.adapters import wheel_cache
from pipeline.adapters.web.retries import DOWNLOADS
from pipeline.model import Pin
from pipeline.model.errors import WheelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BODY = bytes(range(256)) * 4096
PIN = Pin("six", "1.0", hashlib.sha256(BODY).hexdigest(), "six-1.0-py3-none-any.whl", len(BODY))


class Server(BaseHTTPRequestHandler):
    """Serves the body; breaks off as often and as early as it is told."""

    body: ClassVar[bytes] = BODY
    break_after: ClassVar[list[int]] = []
    knows_ranges: ClassVar[bool] = True
    asked: ClassVar[list[str]] = []
    headers_too: ClassVar[dict[str, str]] = {}
    moved_to: ClassVar[str] = ""
    sends: ClassVar[Iterable[bytes]] = ()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        type(self).asked.append(wanted)
        if type(self).sends:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                for piece in type(self).sends:
                    self.wfile.write(piece)
            return
        if self.moved_to:
            self.send_response(302)
            self.send_header("Location", self.moved_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(found[1]) if self.knows_ranges and (found := re.match(r"bytes=(\d+)-", wanted)) else 0
        self.send_response(206 if start else 200)
        for name, value in ({"Content-Length": str(len(self.body) - start)} | self.headers_too).items():
            self.send_header(name, value)
        self.end_headers()
        stop = start + self.break_after.pop(0) if self.break_after else len(self.body)
        self.wfile.write(self.body[start:stop])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many tries as ever, without the pauses between them."""
    monkeypatch.setattr(wheel_cache, "DOWNLOADS", replace(DOWNLOADS, first_pause=0))


@pytest.fixture
def url() -> Iterator[str]:
    Server.body, Server.break_after, Server.knows_ranges, Server.asked = BODY, [], True, []
    Server.headers_too, Server.moved_to, Server.sends = {}, "", ()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{PIN.filename}"
        server.shutdown()


def download(url: str, cache: Path) -> int:
    arrived: list[int] = []
    wheel_cache.download([PIN], {PIN.sha256: url}, cache, arrived.append)
    return sum(arrived)


def test_a_download_lands_in_the_cache_under_its_hash(url: str, tmp_path: Path) -> None:
    assert download(url, tmp_path) == len(BODY)
    assert wheel_cache.path_of(PIN, tmp_path).read_bytes() == BODY


def test_an_interrupted_download_is_resumed_where_it_broke_off(url: str, tmp_path: Path) -> None:
    Server.break_after = [300_000]
    assert download(url, tmp_path) == len(BODY)
    assert len(Server.asked) == 2
    assert re.fullmatch(r"bytes=\d+-", Server.asked[1])
    assert wheel_cache.path_of(PIN, tmp_path).read_bytes() == BODY


def test_where_the_server_knows_no_ranges_it_is_repeated(url: str, tmp_path: Path) -> None:
    Server.break_after, Server.knows_ranges = [300_000], False
    assert download(url, tmp_path) == len(BODY)
    assert wheel_cache.path_of(PIN, tmp_path).read_bytes() == BODY


def test_a_file_of_another_hash_is_refused_and_removed(url: str, tmp_path: Path) -> None:
    Server.body = BODY[:-1] + b"!"
    with pytest.raises(WheelError, match="locked is sha256:"):
        download(url, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_server_that_always_breaks_off_leaves_no_wheel(url: str, tmp_path: Path) -> None:
    Server.break_after = [1000] * 10
    with pytest.raises(WheelError, match="could not be fetched"):
        download(url, tmp_path)
    assert wheel_cache.missing([PIN], tmp_path) == (PIN,)


# -- a server that means no good ----------------------------------------------------------------------


def test_what_is_longer_than_the_locked_wheel_is_cut_off(url: str, tmp_path: Path) -> None:
    """A server that never stops fills no disk."""
    counter = itertools.count()
    Server.sends = (BODY for _ in counter)
    with pytest.raises(WheelError, match=rf"sent more than the {PIN.size} bytes"):
        download(url, tmp_path)
    assert next(counter) < 50
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_byte_now_and_then_comes_to_an_end(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, the wheel never does."""
    monkeypatch.setattr(wheel_cache, "_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(wheel_cache, "_SLOWEST", 1e6)

    Server.sends = dripping()
    started = time.monotonic()
    with pytest.raises(WheelError, match="did not come whole from"):
        download(url, tmp_path)
    assert time.monotonic() - started < 5


def dripping() -> Iterator[bytes]:
    for _ in range(200):
        time.sleep(0.1)
        yield b"x"


def test_what_is_packed_though_nobody_asked_is_refused_by_its_name(url: str, tmp_path: Path) -> None:
    Server.headers_too = {"Content-Encoding": "gzip"}
    with pytest.raises(WheelError, match="packed as 'gzip'"):
        download(url, tmp_path)


@pytest.mark.parametrize("length", ["x", "-1", "9" * 5000, "1, 2"])
def test_a_size_that_is_none_is_an_error_of_ours(url: str, length: str) -> None:
    Server.headers_too = {"Content-Length": length}
    with pytest.raises(WheelError, match="does not say its size"):
        wheel_cache.size_of(url)


@pytest.mark.parametrize("url", ["http://[::1", "http://", "gopher://x/y", "/etc/passwd", "http://a b/"])
def test_an_address_that_is_none_is_an_error_of_ours(url: str, tmp_path: Path) -> None:
    with pytest.raises(WheelError):
        wheel_cache.size_of(url)
    with pytest.raises(WheelError):
        download(url, tmp_path)


def test_the_login_of_an_index_is_not_told(url: str) -> None:
    Server.headers_too = {"Content-Length": "x"}
    with pytest.raises(WheelError) as caught:
        wheel_cache.size_of(url.replace("//", "//user:password@"))
    assert "password" not in str(caught.value)


@pytest.fixture
def secure_url(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same server by https, with a certificate that is trusted here."""
    assert url
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path / "server.pem")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}/{PIN.filename}"
        server.shutdown()


def certificate(file: Path) -> Path:
    """A key and its certificate for 127.0.0.1, in one file."""
    key, name = generate_private_key(SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "t")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(secret + signed.public_bytes(Encoding.PEM))
    return file


def test_a_download_by_https_is_as_good(secure_url: str, tmp_path: Path) -> None:
    assert download(secure_url, tmp_path / "cache") == len(BODY)


def test_an_index_does_not_lead_from_https_to_http(url: str, secure_url: str, tmp_path: Path) -> None:
    """Whoever listens on the way would see what is asked for, and choose what is answered."""
    Server.moved_to = url
    with pytest.raises(WheelError, match=r"leads from https to http:"):
        download(secure_url, tmp_path / "cache")
    with pytest.raises(WheelError, match=r"leads from https to http:"):
        wheel_cache.size_of(secure_url)
