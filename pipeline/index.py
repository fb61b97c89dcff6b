"""The index of packages: which files a project has there, and parts of a file without the whole of it.

The index is the user's own where one is set (``UV_DEFAULT_INDEX``, ``PIP_INDEX_URL``, pip's
configuration), else the one that the client library knows. Only its project pages are relied on, in HTML
(PEP 503) or JSON (PEP 691); folders of wheels are not looked at. A wheel is a zip file, whose table of
contents is at its end, so a few range requests read any of its members.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import re
import ssl
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Self, cast

import httpx
from packaging.utils import canonicalize_name

from pipeline.errors import DamagedError, FactsError
from pipeline.nouns import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from _typeshed import WriteableBuffer
    from pypi_simple import ProjectPage

PAUSES = (0.0, 1.0, 3.0, 9.0)
"""Seconds to wait before each try of a request."""

_BLOCK = 64 * 1024
"""Bytes of one range request, unless more is asked for at once."""

_SDIST_BLOCK = 256 * 1024
"""The same for a source archive, which is read from its start until all is found."""

_PIECE = 16 * 1024 * 1024
"""The same where all of a file is fetched."""

_HEADER = 512
"""Bytes that a member's header in a zip file takes up at most: 30, and its name."""

_TIMEOUT = httpx.Timeout(30, connect=15)
_AS_IT_IS = {"Accept-Encoding": "identity"}
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another try may not get."""

_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+)")
_UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError)
_HINT = "check the network and run it again: what was read so far is kept"


@dataclass(frozen=True)
class IndexFile:
    """A file as the index lists it. ``size`` in bytes and ``uploaded``, a day, where it says them."""

    name: str
    url: str = field(repr=False)  # it may hold a user's password
    sha256: str
    size: int | None
    uploaded: str | None
    requires_python: str
    yanked: bool


class Index:
    """The index, asked by one client for all threads; ``requests`` and ``received`` bytes are its cost.

    Use it as a context manager.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.received = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        if "_http" in self.__dict__:
            self._http.close()

    def files(self, project: str) -> tuple[IndexFile, ...] | Reason:
        """The files of a project, or why its page cannot be believed.

        Raises FactsError where the index does not answer, or has no such project.
        """
        from pypi_simple import ACCEPT_ANY  # noqa: PLC0415 - its imports take 0.4 s

        url = f"{self._endpoint}/{canonicalize_name(project)}/"
        what = f"the index's page of {project}"
        answer = self._get(url, {"Accept": ACCEPT_ANY}, what)
        try:
            page = _parsed(answer, project)
            files = tuple(_listed(page))
        except (ValueError, KeyError) as error:
            return _malformed(f"{what} is malformed: {error}")
        if not files:
            return _malformed(f"{what} lists no file")
        return files

    def wheel(self, file: IndexFile) -> RemoteWheel:
        """The wheel, to read members of. Raises FactsError; a DamagedError where it is no zip file."""
        with _readable(file):
            return RemoteWheel(file, RemoteFile(self, file, _BLOCK))

    def sdist(self, file: IndexFile) -> Iterator[tuple[str, bytes]]:
        """The regular files of a source archive in its order, without the top folder's name.

        What the caller does not take is not fetched. Raises FactsError where it cannot be had or unpacked.
        """
        with (
            _readable(file),
            RemoteFile(self, file, _SDIST_BLOCK) as remote,
            tarfile.open(fileobj=cast("IO[bytes]", remote), mode="r|gz") as archive,
        ):
            for member in archive:
                content = archive.extractfile(member)
                if content:
                    yield member.name.partition("/")[2], content.read()

    def is_as_listed(self, file: IndexFile) -> bool:
        """Whether the file's hash is the listed one. All of it is fetched: ask this of damaged ones only."""
        seen = hashlib.sha256()
        start, size = 0, 1
        while start < size:
            piece, size = self.part(file, start, start + _PIECE)
            seen.update(piece)
            start += _PIECE
        return seen.hexdigest() == file.sha256

    def part(self, file: IndexFile, start: int | None, stop: int) -> tuple[bytes, int]:
        """Bytes ``start`` up to ``stop`` of a file, or its last ``stop`` bytes; and the size of all of it."""
        wanted = f"bytes=-{stop}" if start is None else f"bytes={start}-{stop - 1}"
        answer = self._get(file.url, {"Range": wanted, **_AS_IT_IS}, file.name, httpx.codes.PARTIAL_CONTENT)
        told = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        first, total = (int(told[1]), int(told[2])) if told else (-1, 0)
        expected = (max(0, total - stop), total) if start is None else (start, min(stop, total))
        if (first, first + len(answer.content)) != expected:
            raise FactsError(
                f"{file.name}: asked for {wanted}, got {len(answer.content)} bytes from {first} on",
                hint="the server, or a proxy before it, answers range requests wrongly; name another index",
            )
        if file.size not in (None, total):
            raise FactsError(
                f"{file.name} has {total} bytes, the index's page says {file.size}",
                hint="the file is truncated, or not the one that is listed: ask whoever runs the index",
            )
        return answer.content, total

    def _get(
        self, url: str, headers: dict[str, str], what: str, wanted: int = httpx.codes.OK
    ) -> httpx.Response:
        """The answer to a request, tried again where another try may help. Raises FactsError."""
        failure = ""
        for pause in PAUSES:
            time.sleep(pause)
            try:
                with self._http.stream("GET", url, headers=headers) as answer:
                    if answer.status_code == wanted:
                        answer.read()
                        self._count(answer)
                        return answer
            except httpx.UnsupportedProtocol as error:
                raise FactsError(f"{what}: {error}", hint="name an index by http or https") from error
            except httpx.HTTPError as error:
                failure = f"{type(error).__name__}: {error}"
                continue
            failure = f"the server answered {answer.status_code} {answer.reason_phrase}"
            if answer.status_code not in _PASSING:
                break
        if failure.endswith("200 OK"):
            failure += ", so it does not know range requests"
        raise FactsError(f"{what} cannot be read: {failure}", hint=_HINT)

    def _count(self, answer: httpx.Response) -> None:
        with self._lock:
            self.requests += 1
            self.received += answer.num_bytes_downloaded

    @cached_property
    def _http(self) -> httpx.Client:
        """It follows the environment's proxies and certificates, and those that pip is set up with."""
        bundle = os.environ.get("PIP_CERT") or self._pip.get("cert")
        trust = ssl.create_default_context(cafile=bundle) if bundle else True
        return httpx.Client(timeout=_TIMEOUT, follow_redirects=True, verify=trust)

    @cached_property
    def _endpoint(self) -> str:
        """The index that the user has set, uv's settings first as where a lock is made, else the default."""
        from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 - its imports take 0.4 s

        names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
        told = next((url for name in names if (url := os.environ.get(name))), None)
        return (told or self._pip.get("index-url") or PYPI_SIMPLE_ENDPOINT).rstrip("/")

    @cached_property
    def _pip(self) -> dict[str, str]:
        """What pip's own configuration says, for installing and in general; nothing where there is no pip."""
        command = (sys.executable, "-m", "pip", "config", "list")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        settings = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        found = {}
        for section in ("global", "install", ":env:"):  # the last one wins
            for name in ("index-url", "cert"):
                if f"{section}.{name}" in settings:
                    found[name] = str(ast.literal_eval(settings[f"{section}.{name}"]))
        return found


class RemoteFile(io.RawIOBase):
    """A file of the index as Python's readers of zip and tar want one.

    It holds the bytes of its last request, at first the end of the file, and asks for what lies outside.
    """

    def __init__(self, index: Index, file: IndexFile, block: int) -> None:
        self._index, self._file, self._block = index, file, block
        self._at = self._start = 0
        self._held = b""
        self.size = file.size or self._hold_end()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place, which costs nothing."""
        self._at = max(0, {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence] + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self.size - self._at)
        if wanted <= 0:
            return 0
        if self._at >= self.size - self._block and self._start + len(self._held) < self.size:
            self._hold_end()
        self.hold(self._at, self._at + wanted)
        begin = self._at - self._start
        view[:wanted] = self._held[begin : begin + wanted]
        self._at += wanted
        return wanted

    def hold(self, start: int, stop: int) -> None:
        """Have these bytes at hand, by one request for at least a block, unless they are held already."""
        stop = min(stop, self.size)
        if self._start <= start and stop <= self._start + len(self._held):
            return
        stop = min(max(stop, start + self._block), self.size)
        self._held, _ = self._index.part(self._file, start, stop)
        self._start = start

    def _hold_end(self) -> int:
        """Hold the last bytes of the file; returns its size, which the index's page need not tell."""
        size = self._file.size
        start = None if size is None else max(0, size - self._block)
        self._held, total = self._index.part(self._file, start, self._block if size is None else size)
        self._start = total - len(self._held)
        return total


class RemoteWheel:
    """A wheel on the index, of which single members are read."""

    def __init__(self, file: IndexFile, remote: RemoteFile) -> None:
        self.file = file
        self.size = remote.size
        self._remote = remote
        self._archive = zipfile.ZipFile(cast("IO[bytes]", remote))
        self.members = {info.filename: info.compress_size for info in self._archive.infolist()}

    def read(self, member: str) -> bytes:
        """All of a member, its checksum checked.

        Raises DamagedError where it cannot be unpacked, FactsError where it is not there.
        """
        if member not in self.members:
            raise FactsError(f"{self.file.name} has no {member}", hint="its layout is new: teach refresh/")
        with _readable(self.file, member):
            info = self._archive.getinfo(member)
            self._remote.hold(info.header_offset, info.header_offset + info.compress_size + _HEADER)
            return self._archive.read(member)

    def head(self, member: str) -> Iterator[bytes]:
        """A member from its start, a piece for every 64 KiB that it takes up in the wheel; stop at any time.

        Raises DamagedError where it cannot be unpacked.
        """
        with _readable(self.file, member):
            info = self._archive.getinfo(member)
            self._remote.hold(
                info.header_offset, info.header_offset + min(info.compress_size, _BLOCK) + _HEADER
            )
            self._remote.seek(info.header_offset)
            name_length, extra_length = struct.unpack("<26x2H", self._remote.read(30))
            self._remote.seek(name_length + extra_length, io.SEEK_CUR)
            unpack = zlib.decompressobj(-zlib.MAX_WBITS)
            for start in range(0, info.compress_size, _BLOCK):
                raw = self._remote.read(min(_BLOCK, info.compress_size - start))
                yield raw if info.compress_type == zipfile.ZIP_STORED else unpack.decompress(raw)


@contextmanager
def _readable(file: IndexFile, member: str = "") -> Iterator[None]:
    """Whatever the readers of zip and tar raise is said of the file."""
    try:
        yield
    except _UNREADABLE as error:
        raise DamagedError(
            f"{file.name}: {f'{member} in it' if member else 'it'} cannot be unpacked: {error}",
            hint="it is damaged where it lies, or on its way: ask whoever runs the index",
        ) from error


def _parsed(answer: httpx.Response, project: str) -> ProjectPage:
    """The page in whichever form it came. Raises ValueError where it is not what its type says."""
    from pypi_simple import ProjectPage, UnsupportedRepoVersionError  # noqa: PLC0415

    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    try:
        if kind.endswith("json"):
            return ProjectPage.from_json_data(answer.json(), str(answer.url))
        if kind.endswith("html"):
            return ProjectPage.from_html(project, answer.text, str(answer.url))
    except UnsupportedRepoVersionError as error:
        raise ValueError(str(error)) from error
    raise ValueError(f"its type is {kind or 'unknown'}, neither HTML nor JSON")


def _listed(page: ProjectPage) -> Iterator[IndexFile]:
    for package in page.packages:
        sha256 = package.digests.get("sha256", "")
        if len(sha256) != 64:  # noqa: PLR2004 - hex digits of a SHA-256
            raise ValueError(f"{package.filename} has no sha256")
        day = package.upload_time.date().isoformat() if package.upload_time else None
        yield IndexFile(
            package.filename,
            package.url,
            sha256,
            package.size,
            day,
            package.requires_python or "",
            package.is_yanked,
        )


def _malformed(text: str) -> Reason:
    return Reason("page", text, "name another index with PIP_INDEX_URL, or wait until this one is mended")
