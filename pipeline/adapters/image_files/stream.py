"""The bytes of a layer as they come: hashed and unpacked by threads while those that are ready are read."""

from __future__ import annotations

import hashlib
import sys
from collections import deque
from contextlib import contextmanager, suppress
from itertools import chain
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from isal import isal_zlib

from pipeline.adapters.image_files.limits import BrokenError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from pipeline.adapters.image_files.limits import Meter
    from pipeline.model import Digest

    Work = Callable[[Iterator[bytes]], Iterator[bytes]]

CHUNK = 1 << 20
"""Unpacked bytes handed on at a time, at most."""

MAX_PREFETCHED = 8
"""Chunks that wait before a thread, and as many that wait behind it."""

_PACKED_CHUNK = 1 << 18
"""Packed bytes given to a decompressor at once; it hands back what it did not use, a copy each time."""

_GZIP = b"\x1f\x8b"
_GZIP_WRAPPER = 31
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = bytes.fromhex("2a4d18")
_DAMAGED: tuple[type[Exception], ...] = (isal_zlib.error, zstd.ZstdError)  # type: ignore[assignment] # isal's own types take the first for an instance
_WINDOW: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: 27}
"""128 MiB, the most that zstd takes by default."""


def checked(chunks: Iterable[bytes], digest: Digest, size: int) -> Iterator[bytes]:
    """The same chunks; raises BrokenError where they turn out not to be those of this digest and size."""
    actual, length = hashlib.sha256(), 0
    for chunk in chunks:
        actual.update(chunk)
        length += len(chunk)
        if length > size:
            raise BrokenError(f"more than the {size} bytes that the manifest says")
        yield chunk
    if actual.hexdigest() != digest.hex:
        raise BrokenError(f"its bytes have the digest sha256:{actual.hexdigest()}")


def unpacked(chunks: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """The content of what is packed by gzip, zstd or not at all, in chunks of at most ``CHUNK`` bytes.

    The format is told by its first bytes, as engines do, whatever the media type says. Raises BrokenError
    for what is no such stream, ends too early, or grows too much.
    """
    packed = layer = 0

    def counted() -> Iterator[bytes]:
        nonlocal packed
        for chunk in chunks:
            packed += len(chunk)
            for start in range(0, len(chunk), _PACKED_CHUNK):
                yield chunk[start : start + _PACKED_CHUNK]

    try:
        for chunk in _decompressed(counted(), meter):
            layer += len(chunk)
            meter.unpacked(len(chunk), layer=layer, packed=packed)
            yield chunk
    except _DAMAGED as error:
        raise BrokenError(f"its compression is damaged: {error}") from error


def is_packed(start: bytes) -> bool:
    """Whether a stream that begins so, with four bytes or more, is one that ``unpacked`` would unpack."""
    return start.startswith((_GZIP, _ZSTD)) or start[1:4] == _ZSTD_SKIPPABLE


def _decompressed(packed: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    start = b""
    for block in packed:
        start += block
        if len(start) >= len(_ZSTD):
            break
    whole = chain([start], packed)
    if start.startswith(_GZIP):
        return _gunzip(whole, meter)
    return _unzstd(whole, meter) if is_packed(start) else whole


def _gunzip(packed: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """Members one after the other, as layers with an index of their own have them (eStargz)."""
    member = isal_zlib.decompressobj(_GZIP_WRAPPER)
    for block in packed:
        left = block
        while left:
            if member.eof:
                left = left.lstrip(b"\0")  # some writers pad
                if not left:
                    break
                meter.entry()
                member = isal_zlib.decompressobj(_GZIP_WRAPPER)
            if chunk := member.decompress(left, CHUNK):
                yield chunk
            left = member.unused_data if member.eof else member.unconsumed_tail
    while not member.eof:
        chunk = member.decompress(b"", CHUNK)
        if not chunk:
            raise BrokenError("its gzip stream ends too early")
        yield chunk


def _unzstd(packed: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """Frames one after the other, those that are to be skipped included (zstd:chunked)."""
    frame = zstd.ZstdDecompressor(options=_WINDOW)
    for block in packed:
        left = block
        while left or not (frame.eof or frame.needs_input):
            if frame.eof:
                meter.entry()
                frame = zstd.ZstdDecompressor(options=_WINDOW)
            if chunk := frame.decompress(left, CHUNK):
                yield chunk
            left = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise BrokenError("its zstd stream ends too early")


@contextmanager
def prefetch(chunks: Iterator[bytes], work: Work) -> Generator[Iterator[bytes]]:
    """What ``work`` makes of these chunks, made ahead in a thread of its own while the block lasts.

    Hashing and decompressing release Python's lock, so a second core does them. What the work raises is
    raised here. The chunks are asked for here too, never in the thread: so the thread waits for nothing
    outside and has ended when the block has, and a source is read and closed where it was opened.
    """
    inputs, outputs = _ClosableQueue(), _ClosableQueue()
    thread = Thread(target=_make, args=(work, inputs, outputs), name="layer", daemon=True)
    thread.start()
    try:
        yield _made(chunks, inputs, outputs)
    finally:
        inputs.close()
        outputs.close()
        thread.join()


def _make(work: Work, inputs: _ClosableQueue, outputs: _ClosableQueue) -> None:
    """Work until the chunks end, the work fails, or the queues are closed."""
    with suppress(_ClosedError):
        try:
            for chunk in work(iter(inputs.take, None)):
                outputs.put(chunk)
            outputs.put(None)
        except _ClosedError:
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised where the chunks are asked for
            outputs.put(error)


def _made(chunks: Iterator[bytes], inputs: _ClosableQueue, outputs: _ClosableQueue) -> Iterator[bytes]:
    """What was made, as it comes; while nothing is ready, the worker is given more."""
    has_more = True
    while True:
        while has_more and outputs.is_empty and inputs.has_room:
            chunk = next(chunks, None)
            inputs.put(chunk)
            has_more = chunk is not None
        item = outputs.take()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            return
        yield item


class _ClosedError(Exception):
    """The queue was closed."""


class _ClosableQueue:
    """A short queue that can be closed, as those of Python 3.13 can: that ends all waiting at it."""

    def __init__(self) -> None:
        self._items: deque[bytes | BaseException | None] = deque()
        self._changed = Condition()
        self._is_closed = False

    @property
    def is_empty(self) -> bool:
        """Whether taking would wait."""
        return not self._items

    @property
    def has_room(self) -> bool:
        """Whether putting would not wait."""
        return len(self._items) < MAX_PREFETCHED

    def put(self, item: bytes | BaseException | None) -> None:
        """Add an item when there is room. Raises _ClosedError."""
        with self._when(lambda: self.has_room):
            self._items.append(item)

    def take(self) -> Any:
        """The next item, when there is one. Raises _ClosedError."""
        with self._when(lambda: not self.is_empty):
            return self._items.popleft()

    def close(self) -> None:
        """End all waiting at it, now and later."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @contextmanager
    def _when(self, is_ready: Callable[[], bool]) -> Generator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or is_ready())
            if self._is_closed:
                raise _ClosedError
            yield
            self._changed.notify_all()
