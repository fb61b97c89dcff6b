"""Exports of advisories as they lie on this machine: a folder of files, or a zip as OSV offers them.

Nothing is fetched: which advisories counted is then known, by digest, and a machine without a network can
scan. https://google.github.io/osv.dev/data/ says where exports are to be had.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.formats import osv, zips
from pipeline.model import Export
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from pipeline.model import Advisory

MAX_FILES = 2_000_000
"""In one folder. All of OSV has some 600,000."""

_HINT = "name a folder of OSV's JSON files, or a zip of them: --advisories all.zip"


def read(paths: Sequence[Path], ecosystems: Collection[str]) -> Export:
    """The advisories of some ecosystems (``PyPI``, ``Debian:12``) in these folders and zips.

    The digest is of all files, read or not. Raises UsageError where a path holds none, or cannot be read.
    """
    whole, newest = hashlib.sha256(), ""
    found: list[Advisory] = []
    unread: dict[str, str] = {}
    marks = [mark.encode() for one in ecosystems for mark in (f'"{one}', f'"{one.partition(":")[0]}"')]
    for path in paths:
        count = 0
        for name, body in _files(path):
            count += 1
            whole.update(hashlib.sha256(body).digest())
            if not any(mark in body for mark in marks):
                continue
            try:
                advisory = osv.advisory_of(body)
            except osv.InvalidAdvisoryError as error:
                unread[f"{path}: {name}"] = str(error)
                continue
            if advisory:
                found.append(advisory)
                newest = max(newest, advisory.modified)
        if count == 0:
            raise UsageError(f"{path}: there is no file of an advisory in it", hint=_HINT)
    return Export(f"sha256:{whole.hexdigest()}", tuple(found), newest, unread)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each file's name and bytes, in the order of their names."""
    try:
        yield from _in_folder(path) if path.is_dir() else _in_zip(path)
    except (OSError, zips.ZipError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{path}: {why}", hint=_HINT) from error


def _in_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    names: Iterable[Path] = sorted(path.rglob("*.json"))
    for number, file in enumerate(names):
        if number >= MAX_FILES:
            raise OSError(f"it has more than {MAX_FILES} files")
        yield str(file.relative_to(path)), files.read(file, osv.MAX_BYTES)


def _in_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    with zips.opened(path) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".json")):
            yield name, zips.member(archive, name, osv.MAX_BYTES)
