"""Bytes to a host and back, each of them before the deadline of its request.

httpcore gives a timeout to every single read and write, so that a server that sends a byte now and then
holds a request for days. It hands on what it is given as a timeout: here that is a :class:`Deadline`.
"""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpcore

from pipeline.adapters.web.deadline import CONNECT_SECONDS, Deadline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Timeout = Deadline | float | None


class Backend(httpcore.NetworkBackend):
    """Makes connections."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Timeout = None,
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - the same
    ) -> httpcore.NetworkStream:
        """A connection to the first address that answers. Raises httpcore's errors."""
        with _map_errors(httpcore.ConnectTimeout, httpcore.ConnectError):
            return Wire(_connect(host, port, timeout))


class Wire(httpcore.NetworkStream):
    """One connection."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def read(self, max_bytes: int, timeout: Timeout = None) -> bytes:
        """What has come; nothing where the other side has ended."""
        with _map_errors(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(_deadline(timeout).left())
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: Timeout = None) -> None:
        """Send all of it, however little the other side takes at a time."""
        left = memoryview(buffer)
        with _map_errors(httpcore.WriteTimeout, httpcore.WriteError):
            while left:
                self._socket.settimeout(_deadline(timeout).left())
                left = left[self._socket.send(left) :]

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Timeout = None
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted."""
        with _map_errors(httpcore.ConnectTimeout, httpcore.ConnectError):
            if isinstance(self._socket, ssl.SSLSocket):
                raise OSError(
                    "a proxy that is itself spoken to by https; name it with http:// in HTTPS_PROXY"
                )
            self._socket.settimeout(_deadline(timeout).left())
            return Wire(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname))

    def get_extra_info(self, info: str) -> Any:
        """Whether something has come unasked, so that httpcore uses this connection no more."""
        if info != "is_readable":
            return None
        if self._socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))


def _connect(host: str, port: int, timeout: Timeout) -> socket.socket:
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            made = socket.socket(family, kind, protocol)
        except OSError as error:
            failure = error
            continue
        try:
            made.settimeout(_deadline(timeout).left(CONNECT_SECONDS))
            made.connect(address)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            made.close()
            failure = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failure


def _deadline(timeout: Timeout) -> Deadline:
    """What httpcore handed on; parts of it, such as speaking with a proxy, hand on nothing."""
    return timeout if isinstance(timeout, Deadline) else Deadline(timeout)


@contextmanager
def _map_errors(late: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """The system's errors as httpcore's. For a name that no host can have it raises ValueError."""
    try:
        yield
    except TimeoutError as error:
        raise late("it is silent") from error
    except (OSError, ValueError, OverflowError) as error:
        raise failed(str(error) or type(error).__name__) from error
