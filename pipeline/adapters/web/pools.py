"""Connections that are kept to be used again, and one request over them: no redirect, no authorization."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from pipeline.adapters.web.wire import Backend
from pipeline.model import PROJECT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from pipeline.adapters.web.deadline import Deadline

_KEPT_SECONDS = 10.0
"""For which an unused connection is kept."""

PROXY_HINT = "look at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"

_LAST_PORT = 65535

_HEADERS = {"User-Agent": PROJECT, "Accept-Encoding": "identity"}
"""A body is never asked for packed: its bytes are counted and hashed as they come."""


class ProxyError(ValueError):
    """What the environment names as a proxy is none."""


def pool(size: int, *, proxy: str = "", trust: ssl.SSLContext | None = None) -> httpcore.ConnectionPool:
    """So many connections at most; ``trust`` says whose certificates are believed. Close it.

    Raises ProxyError where the proxy is none that can be spoken to.
    """
    return httpcore.ConnectionPool(
        ssl_context=trust,
        proxy=_proxy(proxy) if proxy else None,
        max_connections=size,
        keepalive_expiry=_KEPT_SECONDS,
        network_backend=Backend(),
    )


def proxy_of(url: httpx.URL) -> str:
    """The proxy that the environment names for this address, or nothing."""
    if proxy_bypass(url.host):
        return ""
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all") or ""


@contextmanager
def request(
    connections: httpcore.ConnectionPool,
    method: str,
    url: httpx.URL,
    headers: Mapping[str, str],
    deadline: Deadline,
    *,
    content: bytes | Iterator[bytes] | None = None,
) -> Iterator[httpcore.Response]:
    """The answer to one request, closed when the block ends, its body to come. Raises httpcore's errors."""
    target = httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path or b"/"
    )
    with connections.stream(
        method,
        target,
        headers=_encoded({"Host": url.netloc.decode("ascii"), **_HEADERS, **headers}),
        content=content,
        extensions={
            "timeout": {"connect": deadline, "read": deadline, "write": deadline, "pool": deadline.left()}
        },
    ) as response:
        yield response


def _proxy(proxy: str) -> httpcore.Proxy:
    try:
        url = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
    except (httpx.InvalidURL, ValueError) as error:
        raise ProxyError(f"the proxy in the environment is no address: {error}") from error
    if url.scheme != "http" or not url.host:
        raise ProxyError(f"the proxy at {url.copy_with(userinfo=b'')} is not spoken to by http")
    if not 0 <= (url.port or 0) <= _LAST_PORT:
        raise ProxyError(f"the proxy at {url.copy_with(userinfo=b'')} has no port that there is")
    origin = f"http://{url.netloc.decode('ascii')}"
    return httpcore.Proxy(origin, auth=(url.username, url.password) if url.username else None)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode("ascii"), value.encode("ascii", "backslashreplace")) for name, value in headers.items()
    ]
