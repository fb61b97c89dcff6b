"""Folders of files that are the same bytes wherever they are written."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.suite.model import digest_of, digest_of_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def write(folder: Path, contents: Mapping[str, bytes]) -> str:
    """Write these files into ``folder``, in one step, unless they are there already; return their digest.

    Every file can be read by any user. A folder of the same name with other content is replaced.
    If several write at once, the first one does, and the others wait for it.
    """
    digest = digest_of_contents(contents)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder.parent):
        if not folder.is_dir() or digest_of(folder) != digest:
            _replace(folder, contents)
    return digest


def digest_of_contents(contents: Mapping[str, bytes]) -> str:
    """What ``digest_of`` says of the folder that ``write`` makes."""
    return digest_of_hashes({name: hashlib.sha256(body).hexdigest() for name, body in contents.items()})


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a lock among processes and threads for the same folder. It is released when its holder ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Written to a temporary folder first: an interruption leaves no partial model at ``folder``."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        fresh = Path(temporary) / "fresh"
        fresh.mkdir(mode=0o755)
        for name, body in contents.items():
            (fresh / name).write_bytes(body)
            (fresh / name).chmod(0o644)
        fresh.chmod(0o755)
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        fresh.rename(folder)
