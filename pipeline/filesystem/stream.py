"""The bytes of a layer as they come: hashed, unpacked, and made ready by a thread while others are read."""

from __future__ import annotations

import hashlib
import sys
from contextlib import contextmanager, suppress
from itertools import chain
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING

from isal import isal_zlib

from pipeline.filesystem.limits import BrokenError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from pipeline.filesystem.limits import Meter
    from pipeline.nouns import Digest

PIECE = 1 << 20
"""Unpacked bytes in one piece, at most."""

AHEAD = 8
"""Pieces that lie ready."""

_POLL = 0.1
"""Seconds after which a thread that waits for another looks whether it is still needed."""

_BITE = 1 << 18
"""Packed bytes given to a decompressor at once; it hands back what it did not use, a copy each time."""

_GZIP = b"\x1f\x8b"
_GZIP_WRAPPER = 31
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = bytes.fromhex("2a4d18")
_DAMAGED: tuple[type[Exception], ...] = (isal_zlib.error, zstd.ZstdError)  # type: ignore[assignment] # isal's own types take the first for an instance
_WINDOW: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: 27}
"""128 MiB, the most that zstd itself takes when nobody asks for more."""


def checked(pieces: Iterable[bytes], digest: Digest, size: int) -> Iterator[bytes]:
    """The same pieces; raises BrokenError where they turn out not to be those of this digest and size."""
    seen, length = hashlib.sha256(), 0
    for piece in pieces:
        seen.update(piece)
        length += len(piece)
        if length > size:
            raise BrokenError(f"more than the {size} bytes that the manifest says")
        yield piece
    if seen.hexdigest() != digest.hex:
        raise BrokenError(f"its bytes have the digest sha256:{seen.hexdigest()}")


def unpacked(pieces: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """What gzip, zstd or nobody packed, in pieces of at most ``PIECE`` bytes.

    The format is told by its first bytes, as engines do, whatever the media type says. Raises BrokenError
    for what is no such stream, ends too early, or grows too much.
    """
    packed = layer = 0

    def counted() -> Iterator[bytes]:
        nonlocal packed
        for piece in pieces:
            packed += len(piece)
            for start in range(0, len(piece), _BITE):
                yield piece[start : start + _BITE]

    try:
        for piece in _decompressed(counted(), meter):
            layer += len(piece)
            meter.unpacked(len(piece), layer=layer, packed=packed)
            yield piece
    except _DAMAGED as error:
        raise BrokenError(f"its compression is damaged: {error}") from error


def is_packed(start: bytes) -> bool:
    """Whether a stream that begins so, with four bytes or more, is one that ``unpacked`` would unpack."""
    return start.startswith((_GZIP, _ZSTD)) or start[1:4] == _ZSTD_SKIPPABLE


def _decompressed(bites: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    start = b""
    for bite in bites:
        start += bite
        if len(start) >= len(_ZSTD):
            break
    whole = chain([start], bites)
    if start.startswith(_GZIP):
        return _gunzip(whole, meter)
    return _unzstd(whole, meter) if is_packed(start) else whole


def _gunzip(bites: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """Members one after the other, as layers with an index of their own have them (eStargz)."""
    member = isal_zlib.decompressobj(_GZIP_WRAPPER)
    for bite in bites:
        left = bite
        while left:
            if member.eof:
                left = left.lstrip(b"\0")  # some writers pad
                if not left:
                    break
                meter.entry()
                member = isal_zlib.decompressobj(_GZIP_WRAPPER)
            if piece := member.decompress(left, PIECE):
                yield piece
            left = member.unused_data if member.eof else member.unconsumed_tail
    while not member.eof:
        piece = member.decompress(b"", PIECE)
        if not piece:
            raise BrokenError("its gzip stream ends too early")
        yield piece


def _unzstd(bites: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """Frames one after the other, those that are to be skipped included (zstd:chunked)."""
    frame = zstd.ZstdDecompressor(options=_WINDOW)
    for bite in bites:
        left = bite
        while left or not (frame.eof or frame.needs_input):
            if frame.eof:
                meter.entry()
                frame = zstd.ZstdDecompressor(options=_WINDOW)
            if piece := frame.decompress(left, PIECE):
                yield piece
            left = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise BrokenError("its zstd stream ends too early")


@contextmanager
def ahead(pieces: Iterator[bytes]) -> Generator[Iterator[bytes]]:
    """The same pieces while the block lasts, made by a thread that keeps ``AHEAD`` of them ready.

    Hashing and decompressing leave Python's lock alone, so that this is a second core's work. What the thread
    raises is raised here. When the block ends the thread is told to, and not waited for: it may be listening
    to a network.
    """
    belt = _Belt(pieces)
    Thread(target=belt.fill, name="layer", daemon=True).start()
    try:
        yield belt.take()
    finally:
        belt.stop()


class _Belt:
    """A queue between the thread that makes pieces and the one that takes them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._ready: Queue[bytes | BaseException | None] = Queue(AHEAD)
        self._stopped = Event()

    def fill(self) -> None:
        """Put all pieces there, and what ended them."""
        try:
            for piece in self._pieces:
                self._put(piece)
                if self._stopped.is_set():
                    break
            self._put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the pieces are taken
            self._put(error)

    def take(self) -> Iterator[bytes]:
        """The pieces, as they come; none any more where nobody else is to take them."""
        while not self._stopped.is_set():
            with suppress(Empty):
                item = self._ready.get(timeout=_POLL)
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    return
                yield item

    def stop(self) -> None:
        """Nobody takes any more."""
        self._stopped.set()

    def _put(self, item: bytes | BaseException | None) -> None:
        while not self._stopped.is_set():
            with suppress(Full):
                self._ready.put(item, timeout=_POLL)
                return
