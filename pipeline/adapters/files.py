"""Files of this machine: read as regular files of a bounded size, written whole, and never through a link.

A checkout may be a stranger's, and a file that was found may be a device. So what lies in a place is
looked at before it is believed, and nothing outside of our own folders is written because of a link.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from pipeline.model import PROJECT
from pipeline.model.errors import UsageError


def read(path: Path, limit: int, *, links: bool = True) -> bytes:
    """The bytes of a regular file; without ``links`` the file itself must not be one.

    Raises OSError, whose ``strerror`` says what lies there: nothing, no regular file, a link, or more
    than ``limit`` bytes.
    """
    with opened(path, links=links) as file:
        body = file.read(limit + 1)
    if len(body) > limit:
        raise OSError(errno.EFBIG, f"is larger than {limit} bytes", str(path))
    return body


def opened(path: Path, *, links: bool = True) -> BinaryIO:
    """A regular file to read from; it waits for nobody, as a pipe would. Raises OSError as ``read``."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "is a link", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def write(path: Path, body: bytes, *, mode: int = 0o644) -> None:
    """Put these bytes into a file, at once or not at all, with this mode whatever the umask is.

    Raises UsageError where its folder is absent, or a link or anything but a file lies in its place.
    """
    refuse_strange(path)
    handle, name = tempfile.mkstemp(prefix=f".{PROJECT}-", dir=path.parent)  # exclusive, and never a link
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            os.fchmod(handle, mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def create(path: Path) -> BinaryIO:
    """A new file that is written bit by bit, in the place of an older one. Raises UsageError as ``write``."""
    remove(path)
    return path.open("xb")


def remove(path: Path) -> None:
    """Remove a file, if there is one. Raises UsageError as ``write``."""
    refuse_strange(path)
    path.unlink(missing_ok=True)


def folder(root: Path, *names: str) -> Path:
    """The folder of these names below ``root``, made where it is absent.

    Raises UsageError where a link, or no folder, lies in the place of one of them.
    """
    place = root
    for name in names:
        place = place / name
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise _strange(place)
        place.mkdir(exist_ok=True)
    return place


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_strange(path: Path) -> None:
    """Raise UsageError where no file of ours can lie: the folder is absent, or something else is there."""
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: there is no such folder", hint="make it, or name another place")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise _strange(path)


def _strange(path: Path) -> UsageError:
    what = f"a link to {str(path.readlink())!r}" if path.is_symlink() else "something else"
    return UsageError(
        f"{path}: {what} lies where a file or a folder of ours belongs; nothing is written there",
        hint="see who put it there, and remove it",
    )
