"""Fetching: every wheel of a lock into the cache, from local folders first and else from the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipeline.adapters import uv, wheel_cache
from pipeline.model import index_of
from pipeline.model.errors import ResolveError, WheelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pipeline.model import Pin, Spec

    class Arrivals(Protocol):
        """Is told of the bytes that arrive."""

        def advance(self, amount: int) -> None:
            """So many bytes more have arrived."""

    Bar = Callable[[int], AbstractContextManager[Arrivals]]


def bytes_missing(pins: Sequence[Pin], cache: Path) -> int:
    """How much the cache lacks of these pins, in bytes; no file is read for it."""
    return sum(pin.size for pin in pins if not wheel_cache.path_of(pin, cache).is_file())


def fetch(spec: Spec, pins: Sequence[Pin], cache: Path, folders: Sequence[Path], bar: Bar) -> int:
    """Bring these pins into the cache and return the bytes that were downloaded.

    ``bar`` opens a progress bar for a number of bytes, which is told of each arrival. An
    index is asked only for what neither the cache nor a folder holds.

    Raises WheelError where a wheel is nowhere to be had, or is another one than was locked.
    """
    cache.mkdir(parents=True, exist_ok=True)
    absent = wheel_cache.copy_local(wheel_cache.missing(pins, cache), cache, folders)
    if not absent:
        return 0
    urls = _locate(spec, absent)
    total = sum(pin.size for pin in absent)
    with bar(total) as arrivals:
        wheel_cache.download(absent, urls, cache, arrivals.advance)
    return total


def _locate(spec: Spec, pins: Sequence[Pin]) -> dict[str, str]:
    """Where the index keeps each hash. Each index is asked by itself, so that only one in need can fail."""
    by_index: dict[str, list[Pin]] = {}
    for pin in pins:
        by_index.setdefault(index_of(pin.name, pin.version) if "+" in pin.version else "", []).append(pin)
    urls: dict[str, str] = {}
    for _, of_one_index in sorted(by_index.items()):
        urls |= _ask(spec, of_one_index)
    for pin in pins:
        if pin.sha256 not in urls:
            raise WheelError(
                f"{pin.filename} with sha256:{pin.sha256} is in no local folder and not on the index",
                hint=f"lock again: python -m pipeline lock {spec.cell.id}; or name its folder: --find-links",
            )
    return urls


def _ask(spec: Spec, pins: Sequence[Pin]) -> dict[str, str]:
    try:
        packages = uv.resolve(
            [f"{pin.name}=={pin.version}" for pin in pins],
            python=spec.cell.python,
            platform=uv.platform_of(spec.cell.machine, spec.base.glibc),
            dependencies=False,
        )
    except ResolveError as error:
        answer = error.what.partition("\n")[2]  # what was asked for is named before it
        gone = [pin for pin in pins if f"{pin.name}=={pin.version}" in answer]
        names = ", ".join(pin.filename for pin in (gone or pins)[:5])
        count = f"{len(gone or pins)} wheels" if len(gone or pins) > 1 else "1 wheel"
        again = f"lock again: python -m pipeline lock {spec.cell.id}" if gone else "check the network"
        raise WheelError(
            f"{count} found in no folder, and no index offered: {names}\n{error.what}",
            hint=f"{again}, or name a folder that holds them with --find-links or PIP_FIND_LINKS",
        ) from error
    return {wheel.sha256: wheel.url for package in packages for wheel in package.wheels}
