"""The index of packages: which files a project has there, and parts of a file without the whole of it.

The index is the user's own where one is set (``UV_DEFAULT_INDEX``, ``PIP_INDEX_URL``, pip's
configuration), else the one that the client library knows. Only its project pages are relied on, in HTML
(PEP 503) or JSON (PEP 691); folders of wheels are not looked at. A wheel is a zip file, whose table of
contents is at its end, so a few range requests read any of its members.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from typing import TYPE_CHECKING, Self

import httpx
from packaging.utils import canonicalize_name

from pipeline.adapters.package_index import pages, settings
from pipeline.adapters.package_index.client import Client
from pipeline.adapters.package_index.files import PIECE, RemoteFile, RemoteWheel, readable
from pipeline.adapters.package_index.pages import IndexFile
from pipeline.model import Reason, ReasonCode
from pipeline.model.errors import FactsError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Index", "IndexFile", "RemoteFile", "RemoteWheel"]

MAX_PART = 64 << 20
"""Bytes of one range request, at most."""

MAX_FILE = 64 << 30
"""Bytes of one file on an index, at most; the largest wheels have some."""

_BLOCK = 64 * 1024
"""Bytes of one range request, unless more is asked for at once."""

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})")


class Index:
    """The index, asked by one client for all threads; ``requests`` and ``received`` bytes are its cost.

    Use it as a context manager.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        if "_client" in self.__dict__:
            self._client.close()

    @property
    def requests(self) -> int:
        """How often it was asked."""
        return self._client.requests

    @property
    def received(self) -> int:
        """Bytes that it sent."""
        return self._client.received

    @property
    def host(self) -> str:
        """Where the index is, without a login that its address may hold. Raises FactsError for no address."""
        try:
            return httpx.URL(self._endpoint).host
        except (httpx.InvalidURL, ValueError) as error:
            raise FactsError("the index that is set is no address", hint="look at PIP_INDEX_URL") from error

    def reach(self, url: str) -> None:
        """Raise FactsError where an index of projects at this address does not answer."""
        self._client.get(url, {}, url, most=pages.MAX_PAGE)

    def files(self, project: str) -> tuple[IndexFile, ...] | Reason:
        """The files of a project, or why its page cannot be believed.

        Raises FactsError where the index does not answer, or has no such project.
        """
        from pypi_simple import ACCEPT_ANY  # noqa: PLC0415 - its imports take 0.4 s

        what = f"the index's page of {project}"
        url = f"{self._endpoint}/{canonicalize_name(project)}/"
        answer = self._client.get(url, {"Accept": ACCEPT_ANY}, what, most=pages.MAX_PAGE)
        try:
            files = pages.read(answer, project)
        except ValueError as error:
            return _malformed(f"{what} is malformed: {error}")
        return files or _malformed(f"{what} lists no file")

    def wheel(self, file: IndexFile) -> RemoteWheel:
        """The wheel, to read members of. Raises FactsError; a DamagedError where it is no zip file."""
        with readable(file):
            return RemoteWheel(file, RemoteFile(self, file, _BLOCK))

    def pieces(self, file: IndexFile, size: int = PIECE) -> Iterator[bytes]:
        """A file from its start, in pieces of this size; what the caller does not take is not fetched."""
        start, total = 0, 1
        while start < total:
            piece, total = self.part(file, start, start + size)
            yield piece
            start += size

    def is_as_listed(self, file: IndexFile) -> bool:
        """Whether the file's hash is the listed one. All of it is fetched: ask this of damaged ones only."""
        digest = hashlib.sha256()
        for piece in self.pieces(file):
            digest.update(piece)
        return digest.hexdigest() == file.sha256

    def part(self, file: IndexFile, start: int | None, stop: int) -> tuple[bytes, int]:
        """Bytes ``start`` up to ``stop`` of a file, or its last ``stop`` bytes; and the size of all of it."""
        length = stop - (start or 0)
        if length > MAX_PART:
            raise FactsError(
                f"{file.shown}: {length} bytes of it would have to be read at once",
                hint="no honest file of an index asks for that: ask whoever runs it",
            )
        byte_range = f"bytes=-{stop}" if start is None else f"bytes={start}-{stop - 1}"
        answer = self._client.get(
            file.url, {"Range": byte_range}, file.shown, most=length, expected=httpx.codes.PARTIAL_CONTENT
        )
        content_range = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        first, total = (int(content_range[1]), int(content_range[2])) if content_range else (-1, 0)
        expected = (max(0, total - stop), total) if start is None else (start, min(stop, total))
        if (first, first + len(answer.body)) != expected:
            raise FactsError(
                f"{file.shown}: asked for {byte_range}, got {len(answer.body)} bytes from {first} on",
                hint="the server, or a proxy before it, answers range requests wrongly; name another index",
            )
        if total > MAX_FILE or file.size not in (None, total):
            raise FactsError(
                f"{file.shown} has {total} bytes, the index's page says {file.size}",
                hint="the file is truncated, or not the one that is listed: ask whoever runs the index",
            )
        return answer.body, total

    @cached_property
    def _client(self) -> Client:
        return Client(settings.certificates(self._pip))

    @cached_property
    def _endpoint(self) -> str:
        return settings.endpoint(self._pip)

    @cached_property
    def _pip(self) -> dict[str, str]:
        return settings.of_pip()


def _malformed(text: str) -> Reason:
    return Reason(
        ReasonCode.PAGE, text, "name another index with PIP_INDEX_URL, or wait until this one is mended"
    )
