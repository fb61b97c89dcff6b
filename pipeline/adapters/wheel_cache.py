"""The wheel cache of this machine: every locked wheel, fetched once, checked by hash, used by all cells."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import httpx

from pipeline.adapters import files
from pipeline.adapters.web.retries import DOWNLOADS, TRANSIENT, TransientError, retry_after
from pipeline.model.errors import WheelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pipeline.model import Pin

Advance = Callable[[int], None]
"""Called with the number of bytes that have just arrived."""

_AT_ONCE = 6
_GONE = (httpx.codes.NOT_FOUND, httpx.codes.GONE)
_AS_IT_IS = {"Accept-Encoding": "identity"}  # what is written is what was sent, so that it can be resumed
_TIMEOUT = httpx.Timeout(30, connect=15)
_GRACE_SECONDS = 120.0
_SLOWEST = 30_000
"""Bytes per second: what brings less, beyond the grace, comes to no end that anybody waits for."""
_BLOCK = 1 << 20
_LENGTH = re.compile(r"[0-9]{1,13}")


def path_of(pin: Pin, cache: Path) -> Path:
    """Where the cache keeps this wheel; a file there is whole, it was checked before it got its name."""
    return cache / pin.sha256 / pin.filename


def missing(pins: Iterable[Pin], cache: Path) -> tuple[Pin, ...]:
    """The pins that the cache does not hold. A file there that is not the locked one is removed."""
    pins = tuple(pins)
    with ThreadPoolExecutor() as pool:
        whole = list(pool.map(lambda pin: _is_locked(path_of(pin, cache), pin), pins))
    absent = tuple(pin for pin, is_whole in zip(pins, whole, strict=True) if not is_whole)
    for pin in absent:
        if os.path.lexists(path := path_of(pin, cache)):
            files.folder(cache, pin.sha256)  # not a link to a folder that is none of the cache's
            files.remove(path)
    return absent


def copy_local(pins: Iterable[Pin], cache: Path, folders: Sequence[Path]) -> tuple[Pin, ...]:
    """Take wheels with a locked hash from local folders into the cache; returns the pins that none holds.

    A file of the right name and the wrong hash is not the locked wheel: it is left where it is.
    """
    offers = ((pin, (folder / pin.filename for folder in folders)) for pin in pins)
    return tuple(pin for pin, paths in offers if not any(_take(path, pin, cache) for path in paths))


def download(pins: Sequence[Pin], urls: Mapping[str, str], cache: Path, advance: Advance) -> None:
    """Fetch wheels into the cache, several at once. ``urls`` maps sha256 to where the index keeps the file.

    An interrupted download is resumed where the server can, else repeated; a file gets its name in
    the cache only when its hash is the locked one, and is removed where it is not. An interruption
    ends it at once, even where a server is silent: that is why it is asynchronous.

    Raises WheelError for the first wheel that cannot be had.
    """
    try:
        asyncio.run(_download_all(pins, urls, cache, advance))
    except BaseExceptionGroup as group:  # of which the first is what all others were cancelled for
        raise group.exceptions[0] from None


def size_of(url: str) -> int:
    """The size in bytes of a file where the index does not state it. Raises WheelError where nobody does."""
    try:
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=True, event_hooks=_hooks(_look)) as client:
            length = client.head(url, headers=_AS_IT_IS).raise_for_status().headers.get("content-length", "")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unsized(url, repr(error)) from error
    if not _LENGTH.fullmatch(length):
        raise _unsized(url, f"its Content-Length is {length[:40]!r}")
    return int(length)


def _unsized(url: str, why: str) -> WheelError:
    return WheelError(
        f"{_without_login(url)} does not say its size: {_without_login(why)}",
        hint="check the network, run it again",
    )


def _take(source: Path, pin: Pin, cache: Path) -> bool:
    """Copy a file into the cache if it is the locked wheel. What is judged is the copy."""
    try:
        offered = files.opened(source)
    except OSError:
        return False
    with offered:
        if os.fstat(offered.fileno()).st_size != pin.size:
            return False
        half = _half(pin, cache)
        with files.create(half) as copy:
            actual = _copy(offered, copy, pin.size)
    if actual == pin.sha256:
        half.replace(path_of(pin, cache))
        return True
    half.unlink()
    return False


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> str:
    """Copy at most so many bytes; returns their SHA-256, in hex."""
    digest, left = hashlib.sha256(), size
    while block := source.read(min(_BLOCK, left)):
        target.write(block)
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


async def _download_all(pins: Sequence[Pin], urls: Mapping[str, str], cache: Path, advance: Advance) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(pin: Pin) -> None:
        async with turns:
            await _download_in_time(client, pin, urls[pin.sha256], cache, advance)

    async def look(answer: httpx.Response) -> None:
        _look(answer)

    largest_first = sorted(pins, key=lambda pin: -pin.size)
    async with (
        httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=True, event_hooks=_hooks(look)) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for pin in largest_first:
            tasks.create_task(one(pin))


async def _download_in_time(
    client: httpx.AsyncClient, pin: Pin, url: str, cache: Path, advance: Advance
) -> None:
    seconds = _GRACE_SECONDS + pin.size / _SLOWEST
    try:
        async with asyncio.timeout(seconds):
            await _download(client, pin, url, cache, advance)
    except TimeoutError as error:
        raise WheelError(
            f"{pin.filename} did not come whole from {_without_login(url)} within {seconds:.0f} s",
            hint="what came is kept, run it again; or give a folder that holds it with --find-links",
        ) from error


async def _download(client: httpx.AsyncClient, pin: Pin, url: str, cache: Path, advance: Advance) -> None:
    half = _half(pin, cache)
    try:
        await DOWNLOADS.run_async(lambda: _try(client, pin, url, half, advance))
    except (TransientError, httpx.HTTPError, httpx.InvalidURL) as error:
        is_gone = isinstance(error, httpx.HTTPStatusError) and error.response.status_code in _GONE
        remedy = "it is gone from there: lock again" if is_gone else "check the network"
        raise WheelError(
            f"{pin.filename} could not be fetched from {_without_login(f'{url}: {error}')}",
            hint=f"{remedy}, or give a folder that holds it with --find-links",
        ) from error
    half.replace(path_of(pin, cache))


async def _try(client: httpx.AsyncClient, pin: Pin, url: str, half: Path, advance: Advance) -> None:
    """Have the whole wheel in the half file.

    Raises TransientError where another try may help, httpx's errors and WheelError where none will.
    """
    try:
        is_resumed = await _append(client, pin, url, half, advance)
    except httpx.HTTPStatusError as error:
        if error.response.status_code not in TRANSIENT:
            raise
        raise TransientError(repr(error), retry_after=retry_after(error.response.headers)) from error
    except httpx.UnsupportedProtocol:
        raise
    except httpx.TransportError as error:
        raise TransientError(repr(error)) from error
    sha256 = await asyncio.to_thread(files.sha256_of, half)
    if sha256 != pin.sha256:
        advance(-_size(half))
        refusal = _refused(pin, sha256, half)
        # The fault of a resumed file may lie in what was there before.
        raise TransientError(refusal.what) if is_resumed else refusal


def _refused(pin: Pin, sha256: str, half: Path) -> WheelError:
    """The error for another file than the locked one, which is removed."""
    is_longer = _size(half) > pin.size
    half.unlink()
    sent = f"more than the {pin.size} bytes" if is_longer else f"a file with hash sha256:{sha256}"
    return WheelError(
        f"{pin.filename}: the index sent {sent}, locked is sha256:{pin.sha256} of {pin.size} bytes",
        hint="it was removed. Ask why the index serves another file before you lock again",
    )


async def _append(client: httpx.AsyncClient, pin: Pin, url: str, half: Path, advance: Advance) -> bool:
    """Fetch what a half file lacks and return True; start over and return False where it cannot go on.

    Of a file that is longer than the locked one, one byte too many is written, and no more is read.
    """
    have = _size(half)
    byte_range = {"Range": f"bytes={have}-"} if have else {}
    async with client.stream("GET", url, headers={**_AS_IT_IS, **byte_range}) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return True  # nothing is missing
        answer.raise_for_status()
        is_resumed = bool(have) and answer.status_code == httpx.codes.PARTIAL_CONTENT
        advance(0 if is_resumed else -have)
        room = pin.size + 1 - (have if is_resumed else 0)
        with half.open("ab" if is_resumed else "wb") as file:
            async for chunk in answer.aiter_raw():
                piece = chunk[: max(room, 0)]
                room -= len(piece)
                file.write(piece)
                advance(len(piece))
                if room <= 0:
                    break
    return is_resumed


def _hooks(look: Callable[[httpx.Response], object]) -> dict[str, list[Callable[..., Any]]]:
    """Have each answer looked at, those that lead elsewhere included."""
    return {"response": [look]}


def _look(answer: httpx.Response) -> None:
    """Refuse an answer that leads from https to anything else, or is packed though that was not asked for."""
    where = answer.headers.get("location") if answer.has_redirect_location else None
    if where and answer.url.scheme == "https" and answer.url.join(where).scheme != "https":
        raise WheelError(
            f"{_without_login(str(answer.url))} leads from https to {_without_login(where[:200])}",
            hint="name an index by https whose files are reached by https",
        )
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise WheelError(
            f"{_without_login(str(answer.url))} is packed as {answer.headers['content-encoding'][:40]!r}, "
            "which was not asked for",
            hint="a proxy may do that: ask who runs it, or give a folder with --find-links",
        )


def _without_login(text: str) -> str:
    """The same without the user and password of an address."""
    return re.sub(r"//[^/@\s]+@", "//", text)


def _half(pin: Pin, cache: Path) -> Path:
    """Where a wheel is until it is whole. Raises UsageError where a link lies there, or its folder is one."""
    cache.mkdir(parents=True, exist_ok=True)
    half = files.folder(cache, pin.sha256) / "half"
    files.refuse_strange(half)
    if _size(half) > pin.size:
        half.unlink()
    return half


def _size(half: Path) -> int:
    return half.stat().st_size if half.exists() else 0


def _is_locked(path: Path, pin: Pin) -> bool:
    with suppress(OSError):
        return path.stat().st_size == pin.size and files.sha256_of(path) == pin.sha256
    return False
