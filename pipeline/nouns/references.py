"""The names of things in a registry, each refused where no registry could hold it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from pipeline.nouns.names import LOOPBACK

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(
    r"(?P<host>[A-Za-z0-9.\-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?)/(?P<path>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, order=True)
class Digest:
    """``sha256:`` and 64 hex digits: the identity of a manifest or a blob."""

    value: str

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.value):
            raise ValueError(f"{self.value!r} is no sha256 digest")

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
    """Where images live: a registry's host, with port, and a path in it."""

    host: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """``host[:port]/path``. Raises ValueError where a host is missing: there is no default registry."""
        match = _REPOSITORY.fullmatch(text)
        host = match["host"] if match else ""
        if not match or not (":" in host or "." in host or host == "localhost"):
            raise ValueError(f"{text!r} is no repository of the form host[:port]/path, in lower case")
        return cls(host, match["path"])

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
    """An image by digest: what we run, test, sign, judge and publish."""

    repository: Repository
    digest: Digest

    @classmethod
    def parse(cls, text: str) -> Self:
        """``host/path@sha256:…``. Raises ValueError for anything else, a tag included."""
        name, at, digest = text.partition("@")
        if not at:
            raise ValueError(f"{text!r} names no digest; only host/path@sha256:… says which image")
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
            raise ValueError(f"{self.tag!r} is no tag: up to 128 of A-Z a-z 0-9 . _ -")

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"
