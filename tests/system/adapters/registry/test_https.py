"""By https, and through a proxy: whom we talk to is who it should be, and leads to nobody else."""

from __future__ import annotations

import socket
from base64 import b64encode
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from pipeline.model.errors import RegistryError
from tests.raw_server import RawServer, answer, certificate, raw_server
from tests.system.adapters.registry.logins import BODY, DIGEST, challenge, registry, store_login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SECRET = "Basic " + b64encode(b"user:password").decode()


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    """A registry by https, at an address that is not loopback for us."""
    context, file = certificate(tmp_path, "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with raw_server("127.0.0.2", context) as server:
        store_login(server, tmp_path, monkeypatch, identity=False)
        yield server


def test_https_leads_to_https_with_storage_elsewhere(
    secure: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry, its token service and its storage, each another origin, as at the large ones."""
    context, file = certificate(tmp_path, "127.0.0.3")
    both = tmp_path / "both.pem"
    both.write_bytes(file.read_bytes() + (tmp_path / "127.0.0.2.pem").read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(both))
    with raw_server("127.0.0.3", context) as storage, raw_server("127.0.0.3", context) as tokens:
        tokens.reply = lambda _asked: answer(200, {}, b'{"access_token": "ours"}')
        storage.reply = lambda _asked: answer(200, {}, BODY)
        secure.reply = lambda asked: (
            answer(307, {"Location": f"https://{storage.host}/blob"})
            if asked.headers.get("authorization") == "Bearer ours"
            else challenge(f"https://{tokens.host}/token")
        )
        assert registry(secure).blob(DIGEST) == BODY
        assert (tokens.logins, storage.logins) == ([SECRET], [])


@pytest.mark.parametrize("where", ["redirect", "upload", "realm", "next page"])
def test_https_never_leads_to_http(secure: RawServer, elsewhere: RawServer, where: str) -> None:
    """Neither login nor layer go in clear, not to the same host either, nor to this machine."""
    for place in (f"http://{secure.host}/x", f"http://{elsewhere.host}/x"):
        reply = {
            "redirect": answer(307, {"Location": place}),
            "upload": answer(202, {"Location": place}),
            "realm": challenge(place),
            "next page": answer(200, {"Link": f'<{place}>; rel="next"'}, b"{}"),
        }[where]
        secure.reply = lambda asked, reply=reply: (  # type: ignore[misc] # lambda's default
            answer(404) if asked.method == "HEAD" else reply
        )
        with pytest.raises(RegistryError, match="https"):
            registry(secure).put_blob(BODY) if where == "upload" else registry(secure).tags()
    assert elsewhere.asked == []
    assert secure.logins == []


def test_a_certificate_that_nobody_vouches_for_is_refused(
    secure: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the way out."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(RegistryError, match=r"CERTIFICATE_VERIFY_FAILED(.|\n)*SSL_CERT_FILE"):
        registry(secure).tags()
    assert secure.asked == []


@pytest.mark.parametrize("login", ["", "user:w%40rd@"])
def test_a_proxy_of_the_environment_is_used_for_hosts_elsewhere(
    secure: RawServer, home: RawServer, monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    """It passes encrypted bytes on; a registry on this machine, or one of NO_PROXY, is asked without it."""
    secure.reply = home.reply = lambda _asked: answer(200, {}, BODY)
    with tunnel() as (address, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"http://{login}{address}")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        assert registry(secure).blob(DIGEST) == BODY
        assert heads[0].startswith(f"CONNECT {secure.host} ".encode())
        assert (b64encode(b"user:w@rd") in heads[0]) is bool(login)
        assert registry(home).blob(DIGEST) == BODY
        monkeypatch.setenv("NO_PROXY", "127.0.0.2")
        assert registry(secure).blob(DIGEST) == BODY
        assert len(heads) == 1


@pytest.mark.parametrize(
    "proxy",
    ["http://127.0.0.1:1", "nonsense://x", "http://[::1", "http://127.0.0.1:99999", "socks5://127.0.0.1:1"],
)
def test_a_proxy_that_is_away_or_none_is_said_so(
    secure: RawServer, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """An error of ours, as for a registry that is away."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(RegistryError):
        registry(secure).tags()
    assert secure.asked == []


@contextmanager
def tunnel() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy for CONNECT, and what it was told."""
    heads: list[bytes] = []

    def serve(near: socket.socket) -> None:
        with near, suppress(OSError):
            heads.append(near.recv(65536))
            host, port = heads[-1].split()[1].decode().split(":")
            with socket.create_connection((host, int(port))) as far:
                near.sendall(b"HTTP/1.1 200 x\r\n\r\n")
                Thread(target=pump, args=(far, near), daemon=True).start()
                pump(near, far)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def listen(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=listen, args=(listener,), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", heads
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
