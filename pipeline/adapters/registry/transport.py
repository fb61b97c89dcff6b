"""One request to one host, and its response: no redirect, no authorization, no retry, but bounds."""

from __future__ import annotations

import atexit
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import httpcore
import httpx

from pipeline.adapters.registry.origins import Origin
from pipeline.adapters.registry.responses import ELSEWHERE, Response
from pipeline.adapters.web import pools as web
from pipeline.adapters.web.retries import TransientError
from pipeline.formats.oci import MAX_DOCUMENT_BYTES, ContentError
from pipeline.model import shown
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from pipeline.adapters.web.deadline import Deadline

CHUNK = 1 << 20
"""Bytes of a blob in memory at a time while it is copied."""

PARALLEL = 8
"""Requests to one registry at a time, for one thing that was asked of us."""


@dataclass(frozen=True)
class OpenResponse:
    """A response whose body is still to come, while its block lasts."""

    method: str
    url: httpx.URL
    status: int
    headers: httpx.Headers
    chunks: Iterator[bytes]

    @property
    def head(self) -> Response:
        """The same without the body."""
        return Response(self.method, self.url, self.status, self.headers, b"")

    def read(self) -> Response:
        """The response in full. Raises ContentError for a body that is larger than any document should be."""
        body = bytearray()
        for chunk in self.chunks:
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                if self.head.is_error:
                    break
                raise ContentError(
                    f"{self.head.request}: more than {MAX_DOCUMENT_BYTES} bytes",
                    hint="this is no manifest or record; name another repository with --repository",
                )
        return Response(self.method, self.url, self.status, self.headers, bytes(body))


class Transport:
    """The connections for one registry, shared by all in this process who speak with it."""

    def __init__(self, host: str) -> None:
        self.host = host

    @contextmanager
    def open(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
        deadline: Deadline,
        *,
        alone: bool = False,
    ) -> Iterator[OpenResponse]:
        """The response to one request, closed when the block ends, whatever its status.

        ``alone`` gives it a connection of its own. A response that its reader may forget needs that: the
        garbage collector then closes it, in whatever thread that runs, which may hold the lock of the shared
        connections. Raises TransientError where the host does not answer, RegistryError where it cannot.
        """
        with (
            self._map_errors(url),
            self._pool(url, alone=alone) as pool,
            web.request(
                pool, method, url, headers, deadline, content=_sent(method, content, deadline)
            ) as response,
        ):
            headers_ = httpx.Headers(response.headers)
            opened = OpenResponse(
                method, url, response.status, headers_, self._chunks(url, response, deadline)
            )
            if opened.head.is_encoded and not opened.head.is_error:
                raise RegistryError(
                    f"{opened.head.request}: a response in an encoding that was not asked for:"
                    f" {shown(opened.headers['Content-Encoding'], 80)}",
                    hint=ELSEWHERE,
                )
            yield opened

    def _chunks(self, url: httpx.URL, response: httpcore.Response, deadline: Deadline) -> Iterator[bytes]:
        with self._map_errors(url):
            for chunk in response.iter_stream():
                deadline.moved(len(chunk))
                yield chunk

    def _pool(self, url: httpx.URL, *, alone: bool) -> AbstractContextManager[httpcore.ConnectionPool]:
        # http is spoken to this machine alone, and no proxy stands between it and us.
        proxy = "" if url.scheme == "http" else web.proxy_of(url)
        if alone:
            return _pool_of(self.host, url.scheme, proxy, 1)
        return nullcontext(_shared(self.host, url.scheme, proxy))

    @contextmanager
    def _map_errors(self, url: httpx.URL) -> Iterator[None]:
        """What httpcore raises, as errors of ours."""
        try:
            yield
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError) as error:
            what = f"{Origin.of(url)} does not answer: {shown(error) or type(error).__name__}"
            if "CERTIFICATE_VERIFY_FAILED" in what:
                hint = "name your certificate authority's file in SSL_CERT_FILE"
                raise RegistryError(what, hint=hint) from error
            raise TransientError(what) from error
        except web.ProxyError as error:
            raise RegistryError(str(error), hint=web.PROXY_HINT) from error
        except httpcore.ProxyError as error:
            what = f"the proxy before {Origin.of(url)} refuses: {shown(error)}"
            raise RegistryError(what, hint=web.PROXY_HINT) from error
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise RegistryError(f"{Origin.of(url)}: {shown(error)}", hint=ELSEWHERE) from error


@cache
def _shared(registry: str, scheme: str, proxy: str) -> httpcore.ConnectionPool:
    pool = _pool_of(registry, scheme, proxy, 2 * PARALLEL)
    atexit.register(pool.close)
    return pool


def _pool_of(registry: str, scheme: str, proxy: str, size: int) -> httpcore.ConnectionPool:
    # A plain connection needs no certificates, which take longer to load than all else takes here.
    return web.pool(size, proxy=proxy, trust=None if scheme == "http" else _certificates(registry))


@cache
def _certificates(_registry: str) -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _sent(
    method: str, content: bytes | Iterator[bytes] | None, deadline: Deadline
) -> bytes | Iterator[bytes] | None:
    """The body as it is sent, whose bytes give the request time; of nothing, where there should be one."""
    if content is None:
        return b"" if method in {"POST", "PUT"} else None
    if isinstance(content, bytes):
        deadline.moved(len(content))
        return content
    return _counted(content, deadline)


def _counted(chunks: Iterator[bytes], deadline: Deadline) -> Iterator[bytes]:
    while True:
        with deadline.paused():
            chunk = next(chunks, None)
        if chunk is None:
            return
        deadline.moved(len(chunk))
        yield chunk
