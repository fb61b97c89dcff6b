"""What a reader is to the tests, and what feeding one takes."""

from __future__ import annotations

import io
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path


@dataclass(frozen=True)
class Reader:
    """``feed`` gives these bytes to what reads them, with a folder of its own to put them into.

    ``samples`` are read; ``odd`` ones may be refused, and lead elsewhere in the reader. Beside our errors it
    may raise what it documents to: ``refuses``.
    """

    name: str
    feed: Callable[[bytes, Path], object]
    samples: tuple[bytes, ...]
    odd: tuple[bytes, ...] = ()
    refuses: tuple[type[Exception], ...] = ()


@contextmanager
def standing_in(**places: object) -> Generator[None]:
    """Other values under these dotted names, with ``__`` for the dot, while the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in places.items():
            patch.setattr(name.replace("__", "."), value)
        yield


def put(place: Path, name: str, body: bytes) -> Path:
    """Write a file of this name."""
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def zipped(**members: bytes) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return body.getvalue()
