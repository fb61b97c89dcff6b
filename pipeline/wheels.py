"""The wheel cache of this machine: every locked wheel, fetched once, checked by hash, used by all cells."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

from pipeline.errors import WheelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pipeline.nouns import Pin

Advance = Callable[[int], None]
"""Called with the number of bytes that have just arrived."""

_AT_ONCE = 6
_AS_IT_IS = {"Accept-Encoding": "identity"}  # what is written is what was sent, so that it can be resumed
_TRIES = 4
_TIMEOUT = httpx.Timeout(30, connect=15)


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
        path_of(pin, cache).unlink(missing_ok=True)
    return absent


def adopt(pins: Iterable[Pin], cache: Path, folders: Sequence[Path]) -> tuple[Pin, ...]:
    """Take wheels with a locked hash from local folders into the cache; returns the pins that none holds.

    A file of the right name and the wrong hash is not the locked wheel: it is left where it is.
    """
    absent = []
    for pin in pins:
        offers = (folder / pin.filename for folder in folders)
        source = next((path for path in offers if path.is_file() and sha256_of(path) == pin.sha256), None)
        if source is None:
            absent.append(pin)
            continue
        half = _half(pin, cache)
        shutil.copyfile(source, half)
        half.replace(path_of(pin, cache))
    return tuple(absent)


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
        answer = httpx.head(url, timeout=_TIMEOUT, follow_redirects=True)
        return int(answer.raise_for_status().headers["content-length"])
    except (httpx.HTTPError, KeyError) as error:
        raise WheelError(
            f"{url} does not say its size: {error}", hint="check the network, run it again"
        ) from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _download_all(pins: Sequence[Pin], urls: Mapping[str, str], cache: Path, advance: Advance) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(pin: Pin) -> None:
        async with turns:
            await _download(client, pin, urls[pin.sha256], cache, advance)

    largest_first = sorted(pins, key=lambda pin: -pin.size)
    async with (
        httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=True) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for pin in largest_first:
            tasks.create_task(one(pin))


async def _download(client: httpx.AsyncClient, pin: Pin, url: str, cache: Path, advance: Advance) -> None:
    half = _half(pin, cache)
    failure: Exception | None = None
    for attempt in range(_TRIES):
        await asyncio.sleep(attempt)
        try:
            is_resumed = await _append(client, url, half, advance)
        except httpx.HTTPError as error:
            failure = error
            continue
        seen = await asyncio.to_thread(sha256_of, half)
        if seen == pin.sha256:
            half.replace(path_of(pin, cache))
            return
        advance(-_size(half))
        half.unlink()
        failure = WheelError(
            f"{pin.filename}: the index sent a file with hash sha256:{seen}, locked is sha256:{pin.sha256}",
            hint="it was removed. Ask why the index serves another file before you lock again",
        )
        if not is_resumed:  # else the fault may lie in what was there before
            raise failure
    raise WheelError(
        f"{pin.filename} could not be fetched from {url}: {failure!r}",
        hint="check the network, or give a folder that holds it with --find-links",
    )


async def _append(client: httpx.AsyncClient, url: str, half: Path, advance: Advance) -> bool:
    """Fetch what a half file lacks and return True; start over and return False where it cannot go on."""
    have = _size(half)
    wanted = {"Range": f"bytes={have}-"} if have else {}
    async with client.stream("GET", url, headers={**_AS_IT_IS, **wanted}) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # nothing is missing
        answer.raise_for_status()
        is_resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        advance(0 if is_resumed else -have)
        with half.open("ab" if is_resumed else "wb") as file:
            async for chunk in answer.aiter_raw():
                file.write(chunk)
                advance(len(chunk))
    return is_resumed


def _half(pin: Pin, cache: Path) -> Path:
    folder = cache / pin.sha256
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "half"


def _size(half: Path) -> int:
    return half.stat().st_size if half.exists() else 0


def _is_locked(path: Path, pin: Pin) -> bool:
    with suppress(OSError):
        return path.stat().st_size == pin.size and sha256_of(path) == pin.sha256
    return False
