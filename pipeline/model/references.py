"""Names in a registry; each is refused if no registry could have it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Self

from pipeline.model.names import LOOPBACK
from pipeline.model.shown import shown

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(
    rf"(?P<name>{_LABEL}(?:\.{_LABEL})*|\[(?P<v6>[0-9a-f:.]{{2,45}})\])(?::(?P<port>[1-9][0-9]{{0,4}}))?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
"""A name by the OCI distribution specification."""

_MAX_LENGTH = 255
"""Characters of host and path: many clients and registries accept no more (the same specification)."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, order=True)
class Digest:
    """``sha256:`` and 64 hex digits: the identity of a manifest or a blob."""

    value: str

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.value):
            raise ValueError(f"'{shown(self.value)}' is no sha256 digest")

    @classmethod
    def of(cls, body: bytes) -> Self:
        """The digest of these bytes."""
        return cls(f"sha256:{hashlib.sha256(body).hexdigest()}")

    @property
    def hex(self) -> str:
        """The 64 hex digits alone."""
        return self.value.removeprefix("sha256:")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, order=True)
class Repository:
    """Where images are stored: a registry's host, with port, and a path."""

    host: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """``host[:port]/path``, by the grammar of the OCI distribution specification and of host names.

        Raises ValueError for anything else, and if the host is missing: there is no default registry.
        """
        host, _, path = text[: _MAX_LENGTH + 1].partition("/")
        why = _no_host(host) or _no_path(path)
        if len(text) > _MAX_LENGTH:
            why = f"it has more than {_MAX_LENGTH} characters"
        if why:
            form = "is no repository of the form host[:port]/path, in lower case"
            raise ValueError(f"'{shown(text)}' {form}: {why}")
        return cls(host, path)

    @property
    def is_loopback(self) -> bool:
        """Whether the registry is on this machine only."""
        return any(self.host == name or self.host.startswith(f"{name}:") for name in LOOPBACK)

    def at(self, digest: Digest) -> ImageRef:
        """The image of this digest, here."""
        return ImageRef(self, digest)

    def tagged(self, tag: str) -> TagRef:
        """The tag of this name, here."""
        return TagRef(self, tag)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


@dataclass(frozen=True, order=True)
class ImageRef:
    """An image by digest: what is run, tested, signed, judged and published."""

    repository: Repository
    digest: Digest

    @classmethod
    def parse(cls, text: str) -> Self:
        """``host/path@sha256:…``. Raises ValueError for anything else, a tag included."""
        name, at, digest = text.partition("@")
        if not at:
            raise ValueError(f"'{shown(text)}' names no digest; only host/path@sha256:… says which image")
        return cls(Repository.parse(name), Digest(digest))

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True, order=True)
class TagRef:
    """A tag: a hint to a digest, never proof of anything."""

    repository: Repository
    tag: str

    def __post_init__(self) -> None:
        if not _TAG.fullmatch(self.tag):
            raise ValueError(f"'{shown(self.tag)}' is no tag: up to 128 of A-Z a-z 0-9 . _ -")

    @classmethod
    def parse(cls, text: str) -> Self:
        """``host/path:tag``. Raises ValueError for anything else."""
        name, colon, tag = text.rpartition(":")
        if not colon or "/" in tag:
            raise ValueError(f"'{shown(text)}' names no tag: write host/path:tag")
        return cls(Repository.parse(name), tag)

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def _no_host(host: str) -> str:
    """Why a text is not a registry's host; empty if it is one."""
    match = _HOST.fullmatch(host)
    if not match:
        return f"'{shown(host)}' is no host" if host else "it names no host"
    if not (":" in host or "." in host or host == "localhost"):
        return f"'{host}' is no host: a name with a dot, localhost, or one with a port"
    if match["port"] and int(match["port"]) > _MAX_PORT:
        return f"there is no port {match['port']}"
    try:
        if match["v6"]:
            IPv6Address(match["v6"])
        elif match["name"].rpartition(".")[2].isdigit():
            IPv4Address(match["name"])
    except ValueError as error:
        return str(error)
    return ""


def _no_path(path: str) -> str:
    """Why a text is not a path in a registry; empty if it is one."""
    return "" if _PATH.fullmatch(path) else f"'{shown(path)}' is no path" if path else "it names no path"


_MAX_PORT = 65535
