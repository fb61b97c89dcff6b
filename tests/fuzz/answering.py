"""Others that answer with the bytes that they are told to: over sockets that need no network."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path


VERSION = b'{"ApiVersion": "1.44"}'
"""What the engine answers when it is asked for its version."""


@contextmanager
def engine_that_answers(body: bytes, place: Path, *, saved: bytes = b"") -> Generator[Engine]:
    """An engine whose every answer is this body, but for its version and for the image that it saves."""
    path = place / "engine.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening, pytest.MonkeyPatch.context() as patch:
        listening.bind(os.fspath(path))
        listening.listen()
        threading.Thread(target=_answer, args=(listening, body, saved), daemon=True).start()
        patch.setenv("DOCKER_HOST", f"unix://{path}")
        try:
            with Engine.connect(timeout=5) as engine:
                yield engine
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def _answer(listening: socket.socket, body: bytes, saved: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection, suppress(OSError), connection.makefile("rb") as asked:
                if not (first := asked.readline()):  # it only looked whether somebody listens
                    continue
                target = first.split()[1]
                length = 0
                while (header := asked.readline()) not in (b"\r\n", b""):
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                asked.read(length)
                connection.sendall(_response(target, body, saved))


def _response(target: bytes, body: bytes, saved: bytes) -> bytes:
    kind = b"application/json"
    if target.endswith(b"_ping"):
        body = b"OK"
    elif target.endswith(b"/version"):
        body = VERSION
    elif target.partition(b"?")[0].endswith(b"/get"):
        body, kind = saved, b"application/x-tar"
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
        kind,
        len(body),
        body,
    )


@contextmanager
def hosts_that_answer(*answers: bytes) -> Generator[None]:
    """Every host there is: each connection gets the next of these answers, and then the last for ever."""
    coming: Iterator[bytes] = chain(answers, repeat(answers[-1]))

    def connected(*_: object) -> socket.socket:
        ours, theirs = socket.socketpair()
        threading.Thread(target=_say, args=(theirs, next(coming)), daemon=True).start()
        return ours

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.adapters.web.wire._connect", connected)
        yield


def _say(connection: socket.socket, answer: bytes) -> None:
    """Say it at once, and go on listening until the other side hangs up."""
    with connection, suppress(OSError):
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass


def http(status: int, body: bytes, **headers: str) -> bytes:
    """An answer with these headers, whose names have ``_`` for ``-``."""
    lines = [f"HTTP/1.1 {status} x", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
