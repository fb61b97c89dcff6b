"""The upload of one blob: begun, sent, ended with its digest, and cancelled where it fails."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

from pipeline.adapters.registry.origins import resolve
from pipeline.adapters.registry.responses import ELSEWHERE
from pipeline.adapters.registry.transport import CHUNK
from pipeline.adapters.web.retries import TransientError
from pipeline.formats.oci import ContentError
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.adapters.registry.responses import Response
    from pipeline.adapters.registry.session import Session
    from pipeline.model import Digest

_BYTES = {"Content-Type": "application/octet-stream"}

_STATUSES = (201, 202, 400, 404, 416)

MAX_FILLING_BYTES = 64 << 20
"""Bytes that are sent in place of missing ones, so that the upload ends and can be cancelled."""


class Source:
    """The bytes of a blob as they come from elsewhere: as many as were announced, whatever comes."""

    def __init__(self, chunks: Iterator[bytes], size: int, name: str) -> None:
        self.size = size
        self._chunks = chunks
        self._name = name
        self._fault: RegistryError | TransientError | None = None

    def read(self) -> Iterator[bytes]:
        """The bytes; where some are missing, others in their place. Raises as ``check`` where many are."""
        left = self.size
        for chunk in self._checked():
            left -= len(chunk)
            yield chunk
        if left > MAX_FILLING_BYTES:
            self.check()
        while left:
            filling = bytes(min(left, CHUNK))
            left -= len(filling)
            yield filling

    def check(self) -> None:
        """Raises what kept these bytes from being the blob's, if anything did."""
        if self._fault:
            raise self._fault

    def _checked(self) -> Iterator[bytes]:
        left = self.size
        try:
            for chunk in self._chunks:
                if len(chunk) > left:
                    self._fault = wrong_size(self._name, "more", self.size)
                    yield chunk[:left]
                    return
                left -= len(chunk)
                yield chunk
        except (TransientError, RegistryError) as error:
            self._fault = error
        if left and not self._fault:
            self._fault = wrong_size(self._name, "fewer", self.size)


def wrong_size(name: str, has: int | str, size: int) -> ContentError:
    """The error for a blob of another size, in bytes, than its manifest says."""
    return ContentError(
        f"{name} has {has} bytes, where its manifest says {size}",
        hint="build or push the image again; do not use it until that is explained",
    )


def upload(session: Session, digest: Digest, body: bytes) -> None:
    """A small blob, in one request.

    Raises TransientError where another try may help, RegistryError where none will. Either way nothing
    stays of an upload that failed.
    """
    at = _begin(session)
    try:
        _end(session, at, digest, body)
    except BaseException:
        cancel(session, at)
        raise


def refuse_read_only(session: Session) -> None:
    """Raise RegistryError where no upload can be begun; the one that is begun to see it is cancelled."""
    cancel(session, session.retry(lambda: _begin(session)))


def copy(session: Session, digest: Digest, source: Source) -> None:
    """A blob of any size, as its bytes come. Raises as ``upload`` does, and what is wrong with the source.

    All bytes go first and the digest after them, as Docker does it: Distribution cancels an upload only where
    the address names how much of it is there, and such an address comes after the bytes.
    """
    at = _begin(session)
    headers = {**_BYTES, "Content-Length": str(source.size)}
    try:
        response = session.once("PATCH", at, _STATUSES, headers=headers, content=source.read())
        at = upload_url(response) if "Location" in response.headers else at
        source.check()
        _expect(httpx.codes.ACCEPTED, response)
        _end(session, at, digest, b"")
    except BaseException:
        cancel(session, at)
        raise


def upload_url(response: Response) -> httpx.URL:
    """Where to upload to: at the registry or elsewhere, but not unencrypted. Raises RegistryError."""
    location = response.headers.get("Location")
    if not location:
        raise RegistryError(f"{response.summary} but not where to upload to", hint=ELSEWHERE)
    return resolve(location, response.url, response.summary)


def cancel(session: Session, upload: httpx.URL) -> None:
    """Have the registry forget what was sent so far; where this fails, it does so itself after some days."""
    with suppress(RegistryError, TransientError):
        session.once("DELETE", upload, (202, 204, 404))


def _begin(session: Session) -> httpx.URL:
    return upload_url(session.once("POST", f"{session.root}/blobs/uploads/", (202,)))


def _end(session: Session, at: httpx.URL, digest: Digest, last: bytes) -> None:
    """Send the last bytes, and the digest of all."""
    target = at.copy_merge_params({"digest": str(digest)})
    _expect(httpx.codes.CREATED, session.once("PUT", target, _STATUSES, headers=_BYTES, content=last))


def _expect(status: int, response: Response) -> None:
    """Raises TransientError for another status.

    Two uploads of one small blob at once, or a registry that was restarted, answer so though nothing is wrong
    with the bytes.
    """
    if response.status != status:
        raise TransientError(response.summary, max_attempts=4)
