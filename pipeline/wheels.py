"""The wheel cache of this machine: every locked wheel, fetched once, checked by hash, used by all cells."""

from __future__ import annotations

import hashlib
import shutil
import time
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
    """The pins that the cache does not hold."""
    return tuple(pin for pin in pins if not _is_whole(path_of(pin, cache), pin))


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
    the cache only when its hash is the locked one, and is removed where it is not.

    Raises WheelError for the first wheel that cannot be had.
    """
    with (
        httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        largest_first = sorted(pins, key=lambda pin: -pin.size)
        jobs = [
            pool.submit(_download, client, pin, urls[pin.sha256], cache, advance) for pin in largest_first
        ]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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


def _download(client: httpx.Client, pin: Pin, url: str, cache: Path, advance: Advance) -> None:
    half = _half(pin, cache)
    failure: Exception | None = None
    for attempt in range(_TRIES):
        time.sleep(attempt)
        try:
            _append(client, url, half, advance)
        except httpx.HTTPError as error:
            failure = error
            continue
        if sha256_of(half) == pin.sha256:
            half.replace(path_of(pin, cache))
            return
        seen = sha256_of(half)
        advance(-half.stat().st_size)
        half.unlink()
        raise WheelError(
            f"{pin.filename}: the index sent a file with hash sha256:{seen}, locked is sha256:{pin.sha256}",
            hint="it was removed. Ask why the index serves another file before you lock again",
        )
    raise WheelError(
        f"{pin.filename} could not be fetched from {url}: {failure!r}",
        hint="check the network, or give a folder that holds it with --find-links",
    )


def _append(client: httpx.Client, url: str, half: Path, advance: Advance) -> None:
    """Fetch what is missing of a half file; start over where the server knows no ranges."""
    have = half.stat().st_size if half.exists() else 0
    wanted = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", url, headers={**_AS_IT_IS, **wanted}) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing
        answer.raise_for_status()
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        advance(0 if resumed else -have)
        with half.open("ab" if resumed else "wb") as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
                advance(len(chunk))


def _half(pin: Pin, cache: Path) -> Path:
    folder = cache / pin.sha256
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "half"


def _is_whole(path: Path, pin: Pin) -> bool:
    with suppress(OSError):
        return path.stat().st_size == pin.size
    return False
