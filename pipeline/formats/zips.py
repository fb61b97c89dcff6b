"""Untrusted zip files, such as wheels: members within bounds, and one error for every fault."""

from __future__ import annotations

import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STORED = zipfile.ZIP_STORED
PACKINGS = (STORED, zipfile.ZIP_DEFLATED)
"""How members may be packed: as those of wheels are. The others may ask for gigabytes to be unpacked with."""

MAX_MEMBERS = 200_000
"""A wheel of PyTorch for CUDA has 13,000."""

_RAISED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What the library raises for a file that is damaged, cut off, encrypted, or lies."""


class ZipError(ValueError):
    """A zip file, or a member of it, cannot be read. The text says why."""


@contextmanager
def readable() -> Iterator[None]:
    """Whatever is raised for a damaged file is a ZipError."""
    try:
        yield
    except ZipError:
        raise
    except _RAISED as error:
        raise ZipError(str(error) or type(error).__name__) from error


def opened(file: Path | IO[bytes]) -> zipfile.ZipFile:
    """A zip file, to be closed. Raises ZipError."""
    with readable():
        archive = zipfile.ZipFile(file)
        if len(archive.infolist()) > MAX_MEMBERS:
            archive.close()
            raise ZipError(f"it has more than {MAX_MEMBERS} members")
        return archive


def member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """All of a member, its checksum checked. Raises ZipError, also where it has more than ``most`` bytes."""
    with readable():
        info = known(archive, name)
        if info.file_size > most:
            raise ZipError(f"it has {info.file_size} bytes, more than {most}")
        return archive.read(info)


def known(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """What the table of contents says of a member. Raises ZipError where it is not there or packed oddly."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise ZipError("it is not there") from error
    if info.compress_type not in PACKINGS:
        raise ZipError(f"it is packed in a way that is not for wheels ({info.compress_type})")
    return info
