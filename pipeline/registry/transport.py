"""One request over the connections to one host: sent, and its answer read in full. No patience, no login."""

from __future__ import annotations

import atexit
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import httpx

from pipeline.errors import RegistryError
from pipeline.nouns import PROJECT
from pipeline.registry.answers import ELSEWHERE, Answer, BusyError, trouble
from pipeline.registry.documents import SMALL, ContentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.nouns import Repository

PIECE = 1 << 20
"""Bytes of a blob in memory at a time while it is copied."""

PARALLEL = 8
"""Requests to one registry at a time, for one thing that was asked of us."""


@cache
def _host(_name: str, *, loopback: bool) -> httpx.Client:
    # A proxy of the environment must never stand between us and a registry on this machine, and a
    # plain connection needs no certificates, which take longer to load than all else takes here.
    client = httpx.Client(
        verify=not loopback,
        trust_env=not loopback,
        follow_redirects=True,
        timeout=httpx.Timeout(60, connect=10, read=300),
        limits=httpx.Limits(max_connections=2 * PARALLEL, keepalive_expiry=10),
        headers={"User-Agent": PROJECT, "Accept-Encoding": "identity"},
    )
    atexit.register(client.close)
    return client


class Transport:
    """The connections to the host of a repository, shared by all who speak with it."""

    def __init__(self, repository: Repository) -> None:
        self.host = repository.host
        self._client = _host(repository.host, loopback=repository.is_loopback)

    def send(
        self,
        method: str,
        url: str | httpx.URL,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
    ) -> Answer:
        """One answer of any status, its body read in full."""
        try:
            with self._client.stream(method, url, headers=headers, content=content) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > SMALL:
                        raise ContentError(
                            f"{method} {response.url.host}{response.url.path}: more than {SMALL} bytes",
                            hint="this is no manifest or record; name another repository with --repository",
                        )
                return Answer(method, response.url, response.status_code, response.headers, bytes(body))
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RegistryError(f"{self.host}: {error}", hint=ELSEWHERE) from error

    @contextmanager
    def stream(
        self, url: str | httpx.URL, headers: Mapping[str, str], *, expected: int
    ) -> Iterator[Iterator[bytes]]:
        """A large body in pieces, while the block lasts."""
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                if response.status_code != expected:
                    answer = Answer("GET", response.url, response.status_code, response.headers, b"")
                    raise trouble(answer, self.host)
                yield response.iter_raw(PIECE)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.TransportError) -> Exception:
        what = f"{self.host} does not answer: {error or type(error).__name__}"
        if "CERTIFICATE_VERIFY_FAILED" in what:
            return RegistryError(what, hint="name your certificate authority's file in SSL_CERT_FILE")
        return BusyError(what)
