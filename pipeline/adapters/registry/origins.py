"""Where an address leads: to the registry itself, or elsewhere, and whether we may go there at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import httpx

from pipeline.model import LOOPBACK, shown
from pipeline.model.errors import RegistryError

_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535

_HUB, _HUBS_API = ("docker.io", "index.docker.io"), "registry-1.docker.io"
"""Docker Hub in the names of its images, and where its API is; no other registry has two names.

https://github.com/distribution/reference/blob/main/normalize.go: defaultDomain, officialRepoPrefix
"""

MAX_URL_CHARACTERS = 8000
"""Of an address. Storage signs some of two thousand; httpx takes 65,536, six for one of ours."""

_HINT = "ask who runs the registry: its own address, storage or token service is configured wrongly"


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port: what a login is for."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> Self:
        """Where this address leads. Raises ValueError for another scheme, and where a login is in it."""
        host = url.raw_host.decode("ascii")
        port = _PORTS.get(url.scheme, 0) if url.port is None else url.port
        if url.scheme not in _PORTS:
            raise ValueError("it is neither http nor https")
        if not host or not 0 < port <= _LAST_PORT:
            raise ValueError("it has no host or no port")
        if url.userinfo:
            raise ValueError("it has a login in it")
        return cls(url.scheme, f"[{host}]" if ":" in host else host, port)

    @property
    def is_loopback(self) -> bool:
        """Whether this is this machine only."""
        return self.host in LOOPBACK

    @property
    def is_private(self) -> bool:
        """Whether what is sent there cannot be read on the way: by https, or on this machine only."""
        return self.scheme == "https" or self.is_loopback

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def endpoint(host: str, path: str) -> str:
    """Where the API of a repository is: ``host/v2/path``."""
    if host not in _HUB:
        return f"{host}/v2/{path}"
    return f"{_HUBS_API}/v2/{path if '/' in path else f'library/{path}'}"


def resolve(text: str, base: httpx.URL, what: str) -> httpx.URL:
    """The address that a response names, as seen from its own.

    https leads to https only, and http, which is spoken on loopback only, to loopback by http only. Raises
    RegistryError, which begins with ``what``, for all else.
    """
    url, origin = parse(text, what, base)
    if origin.scheme != base.scheme or not origin.is_private:
        allowed = "this machine by http" if base.scheme == "http" else "https"
        raise RegistryError(f"{what} leads to {shown(url)}, which is not {allowed}", hint=_HINT)
    return url


def parse(text: str, what: str, base: httpx.URL | None = None) -> tuple[httpx.URL, Origin]:
    """An address and where it leads. Raises RegistryError, which begins with ``what``, where it is none."""
    try:
        url = base.join(_bounded(text)) if base else httpx.URL(_bounded(text))
        return url, Origin.of(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise RegistryError(
            f"{what} leads to '{shown(text)}', which is no address: {error}", hint=_HINT
        ) from error


def _bounded(text: str) -> str:
    if len(text) > MAX_URL_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters")
    return text
