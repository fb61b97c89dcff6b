"""One GET after another: each with a deadline, a bound of its bytes, and redirects that are judged."""

from __future__ import annotations

import ssl
import threading
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import httpcore
import httpx

from pipeline.adapters.web import pools, retries
from pipeline.adapters.web.deadline import Deadline
from pipeline.adapters.web.retries import TransientError
from pipeline.model import shown
from pipeline.model.errors import FactsError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOPS = 5
"""Redirects of one request, at most."""

CONNECTIONS = 16
"""At the same time, with one host or through one proxy."""

_LAST_PORT = 65535
_REDIRECTS = {301, 302, 303, 307, 308}
_TRANSIENT_FAULTS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)
_HINT = "check the network and run it again: what was read so far is kept"
_NOT_THIS_ONE = "name another index, or ask whoever runs this one, or the proxy before it"


@dataclass(frozen=True)
class Answer:
    """What came for a request, in full. ``url`` is where it came from in the end."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Connections for all threads; ``requests`` and ``received`` bytes are their cost. Close it.

    It follows the environment's proxies and certificates, and believes those of ``certificates`` instead
    where that file is named.
    """

    def __init__(self, certificates: str | None) -> None:
        self.requests = 0
        self.received = 0
        self._certificates = certificates
        self._pools: dict[tuple[str, str], httpcore.ConnectionPool] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()

    def get(
        self, url: str, headers: Mapping[str, str], what: str, *, most: int, expected: int = httpx.codes.OK
    ) -> Answer:
        """The answer of this status to a request, tried again where another try may help.

        Raises FactsError, which begins with ``what``; also for more than ``most`` bytes.
        """
        address = _address(url, what)
        try:
            return retries.DOWNLOADS.run(lambda: self._try(address, headers, what, most, expected))
        except TransientError as error:
            raise FactsError(f"{what} cannot be read: {error.what}", hint=_HINT) from error

    def _try(self, url: httpx.URL, headers: Mapping[str, str], what: str, most: int, expected: int) -> Answer:
        """One try. Raises TransientError where another may help, FactsError where none will."""
        try:
            return self._once(url, headers, what, most, expected)
        except pools.ProxyError as error:
            raise FactsError(f"{what}: {error}", hint=pools.PROXY_HINT) from error
        except _TRANSIENT_FAULTS as error:
            raise TransientError(f"{type(error).__name__}: {shown(error)}") from error

    def _once(
        self, url: httpx.URL, headers: Mapping[str, str], what: str, most: int, expected: int
    ) -> Answer:
        login = _login(url)
        for _ in range(HOPS + 1):
            deadline = Deadline()
            with pools.request(
                self._pool(url), "GET", url, {**headers, **(login or {})}, deadline
            ) as response:
                received = httpx.Headers(response.headers)
                if response.status not in _REDIRECTS or "location" not in received:
                    _refuse_unwanted(response.status, expected, received, what)
                    return Answer(str(url), received, self._body(response, deadline, most, what))
            following = followed(url, received["location"], what)
            login = login if _origin(following) == _origin(url) else None
            url = following
        raise FactsError(f"{what}: more than {HOPS} redirects, or a circle of them", hint=_NOT_THIS_ONE)

    def _body(self, response: httpcore.Response, deadline: Deadline, most: int, what: str) -> bytes:
        body = bytearray()
        for piece in response.iter_stream():
            deadline.moved(len(piece))
            body += piece
            if len(body) > most:
                raise FactsError(f"{what} has more than the {most} bytes to be read", hint=_NOT_THIS_ONE)
        with self._lock:
            self.requests += 1
            self.received += len(body)
        return bytes(body)

    def _pool(self, url: httpx.URL) -> httpcore.ConnectionPool:
        key = url.scheme, pools.proxy_of(url)
        with self._lock:
            if key not in self._pools:
                trust = _trust(self._certificates) if url.scheme == "https" else None
                self._pools[key] = pools.pool(CONNECTIONS, proxy=key[1], trust=trust)
            return self._pools[key]


def _refuse_unwanted(status: int, expected: int, headers: httpx.Headers, what: str) -> None:
    if status in retries.TRANSIENT:
        raise TransientError(f"the server answered {status}", retry_after=retries.retry_after(headers))
    if status != expected:
        more = ", so it does not know range requests" if status == httpx.codes.OK else ""
        raise FactsError(f"{what} cannot be read: the server answered {status}{more}", hint=_HINT)
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise FactsError(
            f"{what}: sent in an encoding that was not asked for: {shown(encoding)}", hint=_NOT_THIS_ONE
        )


def followed(url: httpx.URL, location: str, what: str) -> httpx.URL:
    """Where a redirect leads. Raises FactsError where that is no place to be led to."""
    try:
        following = url.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        why = f"{what}: a redirect leads to no address: {shown(error)}"
        raise FactsError(why, hint=_NOT_THIS_ONE) from error
    if url.scheme == "https" and following.scheme != "https":
        raise FactsError(f"{what}: a redirect leads away from https", hint=_NOT_THIS_ONE)
    return _address(str(following), what)


def _address(text: str, what: str) -> httpx.URL:
    """An address of http or https. Raises FactsError; the address itself may hold a password."""
    try:
        url = httpx.URL(text)
        if url.scheme in {"http", "https"} and url.host and 0 < (url.port or 1) <= _LAST_PORT:
            return url
    except (httpx.InvalidURL, ValueError):
        pass
    raise FactsError(f"{what} lies at no address of http or https", hint="name an index by http or https")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _login(url: httpx.URL) -> dict[str, str] | None:
    """What an address with a login in it says of who we are."""
    if not url.userinfo:
        return None
    secret = b64encode(f"{url.username}:{url.password}".encode()).decode()
    return {"Authorization": f"Basic {secret}"}


@cache
def _trust(certificates: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=certificates) if certificates else httpx.create_ssl_context()
    except OSError as error:
        raise FactsError(
            f"{certificates}: no certificates can be read there: {error}",
            hint="look at PIP_CERT, and at pip's `cert`",
        ) from error
