"""A server that answers with any bytes at all, at any pace: what a test needs to be a hostile registry."""

from __future__ import annotations

import re
import socket
import ssl
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from threading import Thread
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Reply = Callable[["Asked"], "bytes | Iterable[bytes]"]

LONGEST = 8 << 20
"""Bytes of a request's body that are read."""


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class RawServer:
    """Answers every request by ``reply`` and hangs up. ``asked`` lists what came, in order."""

    host: str
    reply: Reply = lambda _asked: answer(404)
    asked: list[Asked] = field(default_factory=list)

    @property
    def logins(self) -> list[str]:
        """Everything that was said of who we are: headers, and what a form holds."""
        headers = [one.headers["authorization"] for one in self.asked if "authorization" in one.headers]
        return headers + [one.body.decode() for one in self.asked if b"refresh_token" in one.body]


def answer(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """An answer that is well formed."""
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if not {"content-length", "transfer-encoding"} & {name.lower() for name in headers or {}}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body


@contextmanager
def raw_server(address: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """A server while the block lasts; by https where there is a context."""
    with socket.create_server((address, 0), backlog=64) as listener:
        server = RawServer(f"{address}:{listener.getsockname()[1]}")
        Thread(target=_listen, args=(listener, server, context), daemon=True).start()
        yield server
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def certificate(folder: Path, address: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context for an address, and the file that makes a client trust it."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file = folder / f"{address}.pem"
    file.write_bytes(
        made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context, file


def _listen(listener: socket.socket, server: RawServer, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            Thread(target=_serve, args=(connection, server, context), daemon=True).start()


def _serve(connection: socket.socket, server: RawServer, context: ssl.SSLContext | None) -> None:
    with suppress(OSError, ValueError), connection:
        connection.settimeout(30)
        wire = context.wrap_socket(connection, server_side=True) if context else connection
        with wire:
            asked = _request(wire)
            server.asked.append(asked)
            pieces = server.reply(asked)
            for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                wire.sendall(piece)
            with suppress(OSError):
                wire.shutdown(socket.SHUT_WR)
            _drain(wire)


def _request(wire: socket.socket) -> Asked:
    held = b""
    while b"\r\n\r\n" not in held:
        more = wire.recv(65536)
        if not more:
            raise ConnectionError
        held += more
    head, _, body = held.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
    length = min(int(headers.get("content-length", "0")), LONGEST)
    while len(body) < length and (more := wire.recv(65536)):
        body += more
    method, target, _ = re.split(" ", first, maxsplit=2)
    return Asked(method, target, headers, body)


def _drain(wire: socket.socket) -> None:
    """So that what was sent arrives: closing with unread bytes takes it back."""
    ends = time.monotonic() + 1
    wire.settimeout(0.2)
    with suppress(OSError):
        while time.monotonic() < ends and wire.recv(65536):
            pass
