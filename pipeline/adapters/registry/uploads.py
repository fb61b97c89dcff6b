"""One blob on its way into a registry: begun, sent, ended with its digest, and taken back where it fails."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

from pipeline.adapters.registry.answers import ELSEWHERE, BusyError
from pipeline.adapters.registry.origins import reached
from pipeline.adapters.registry.transport import PIECE
from pipeline.formats.oci import ContentError
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.adapters.registry.answers import Answer
    from pipeline.adapters.registry.requests import Requests
    from pipeline.model import Digest

_BYTES = {"Content-Type": "application/octet-stream"}

_ANSWERS = (201, 202, 400, 404, 416)


FILLED = 64 << 20
"""The most bytes that are sent in place of others, so that an upload ends and can be cancelled."""


class Source:
    """The bytes of a blob as they come from elsewhere: as many as were announced, whatever comes."""

    def __init__(self, pieces: Iterator[bytes], size: int, name: str) -> None:
        self.size = size
        self._pieces = pieces
        self._name = name
        self._fault: RegistryError | BusyError | None = None

    def sent(self) -> Iterator[bytes]:
        """The bytes; where some are missing, others in their place. Raises as ``check`` where many are."""
        left = self.size
        for piece in self._given():
            left -= len(piece)
            yield piece
        if left > FILLED:
            self.check()
        while left:
            filling = bytes(min(left, PIECE))
            left -= len(filling)
            yield filling

    def check(self) -> None:
        """Raises what kept these bytes from being the blob's, if anything did."""
        if self._fault:
            raise self._fault

    def _given(self) -> Iterator[bytes]:
        left = self.size
        try:
            for piece in self._pieces:
                if len(piece) > left:
                    self._fault = wrong_size(self._name, "more", self.size)
                    yield piece[:left]
                    return
                left -= len(piece)
                yield piece
        except (BusyError, RegistryError) as error:
            self._fault = error
        if left and not self._fault:
            self._fault = wrong_size(self._name, "fewer", self.size)


def wrong_size(name: str, has: int | str, size: int) -> ContentError:
    """The error for a blob of another size, in bytes, than its manifest says."""
    return ContentError(
        f"{name} has {has} bytes, where its manifest says {size}",
        hint="build or push the image again; do not use it until that is explained",
    )


def upload(requests: Requests, digest: Digest, body: bytes) -> None:
    """A small blob, in one piece.

    Raises BusyError where it may go better another time, RegistryError where it will not. Either way nothing
    stays of an upload that failed.
    """
    at = _begun(requests)
    try:
        _end(requests, at, digest, body)
    except BaseException:
        cancel(requests, at)
        raise


def copy(requests: Requests, digest: Digest, source: Source) -> None:
    """A blob of any size, as its bytes come. Raises as ``upload`` does, and what is wrong with the source.

    All bytes go first and the digest after them, as Docker does it: Distribution cancels an upload only where
    the address names how much of it is there, and such an address comes after the bytes.
    """
    at = _begun(requests)
    headers = {**_BYTES, "Content-Length": str(source.size)}
    try:
        answer = requests.once("PATCH", at, _ANSWERS, headers=headers, content=source.sent())
        at = place(answer) if "Location" in answer.headers else at
        source.check()
        _expect(httpx.codes.ACCEPTED, answer)
        _end(requests, at, digest, b"")
    except BaseException:
        cancel(requests, at)
        raise


def place(answer: Answer) -> httpx.URL:
    """Where to upload to: at the registry or elsewhere, but not in clear. Raises RegistryError."""
    named = answer.headers.get("Location")
    if not named:
        raise RegistryError(f"{answer.complaint} but not where to upload to", hint=ELSEWHERE)
    return reached(named, answer.url, answer.complaint)


def cancel(requests: Requests, upload: httpx.URL) -> None:
    """Have the registry forget what was sent so far; where it cannot, it does so itself after some days."""
    with suppress(RegistryError, BusyError):
        requests.once("DELETE", upload, (202, 204, 404))


def _begun(requests: Requests) -> httpx.URL:
    return place(requests.once("POST", f"{requests.root}/blobs/uploads/", (202,)))


def _end(requests: Requests, at: httpx.URL, digest: Digest, last: bytes) -> None:
    """Send the last bytes, and the digest of all."""
    where = at.copy_merge_params({"digest": str(digest)})
    _expect(httpx.codes.CREATED, requests.once("PUT", where, _ANSWERS, headers=_BYTES, content=last))


def _expect(status: int, answer: Answer) -> None:
    """Raises BusyError for another status.

    Two uploads of one small blob at once, or a registry that was restarted, answer so though nothing is wrong
    with the bytes.
    """
    if answer.status != status:
        raise BusyError(answer.complaint, tries=4)
