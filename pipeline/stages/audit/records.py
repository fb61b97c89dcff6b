"""What the RECORDs of Python packages list, compared with the files that are there.

A RECORD (https://packaging.python.org/en/latest/specifications/recording-installed-packages/) names each
file of a package with its sha256 and its size. Sizes are compared for all files; hashes for modules, ``.pth``
files and compiled objects up to MAX_HASHED_BYTES. Two releases of a larger library have different sizes.
"""

from __future__ import annotations

import csv
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from posixpath import join, normpath
from typing import TYPE_CHECKING

from pipeline.formats.numbers import whole
from pipeline.stages.audit.inventory import Claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.adapters.image_files.links import Links
    from pipeline.adapters.image_files.nodes import Node

MAX_HASHED_BYTES = 64 << 20
"""How large a file may be, in bytes, that is hashed: most objects of a CUDA image, and few of its bytes."""

MAX_ROWS = 1_000_000
"""Rows of all RECORDs together. A CUDA environment of 208 packages has 60,000."""

MAX_FOLDERS = 100
"""How many folders of one ``.pth`` file are looked for; an ordinary one names one."""

_FOLDERS = ("/site-packages/", "/dist-packages/")
_MODULES = (".py", ".pth")


class TooManyRowsError(Exception):
    """The RECORDs list more files than any honest image has."""


@dataclass(frozen=True, slots=True)
class Row:
    """A file in a RECORD: its absolute path, its sha256 as written there and its size; None if not given."""

    path: str
    sha256: str | None
    size: int | None


@dataclass(frozen=True)
class Compared:
    """The files of one RECORD: the bytes of those that are there, those that are gone, those that differ."""

    size: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]


def is_module(node: Node) -> bool:
    """Whether it is a module or a ``.pth`` file of an installed package, whose content is compared."""
    if not node.path.endswith(_MODULES) or node.size > MAX_HASHED_BYTES:
        return False
    return any(folder in node.path for folder in _FOLDERS)


def is_hashed(node: Node) -> bool:
    """Whether the content of a file that is read is compared."""
    return node.size <= MAX_HASHED_BYTES and any(folder in node.path for folder in _FOLDERS)


def hash_of(data: memoryview) -> str:
    """The sha256 of a content as a RECORD writes it."""
    return urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()


def path_file(path: str, text: str) -> tuple[str, ...]:
    """The folders that a ``.pth`` file adds to Python's path; its lines of code, which import, add none.

    https://docs.python.org/3/library/site.html.
    """
    lines = (line.rstrip() for line in text.splitlines())
    named = (line for line in lines if line and not line.startswith(("#", "import ", "import\t")))
    folder = path.rpartition("/")[0]
    return tuple(normpath(join(folder, line)) for line in islice(named, MAX_FOLDERS))


class Records:
    """Compares RECORDs with the files of one image, and remembers who claims which file."""

    def __init__(self, nodes: Mapping[str, Node], links: Links, hashes: Mapping[str, str]) -> None:
        self._nodes = nodes
        self._links = links
        self._hashes = hashes
        self._rows = 0
        self._claims: dict[str, list[Claim]] = {}

    def claims(self) -> dict[str, tuple[Claim, ...]]:
        """For each file that is there and in a RECORD that was compared, those that claim it."""
        return {path: tuple(claims) for path, claims in self._claims.items()}

    def compare(self, info: str, record: str, *, is_rewritten: bool) -> Compared:
        """Compare the RECORD of a ``.dist-info``. Raises TooManyRowsError.

        ``is_rewritten`` is of an installer that writes its prefix into files, so that only sizes may count.
        Bytecode is left out: images drop it to be smaller, and Python compiles it again.
        """
        size, missing, changed = 0, [], []
        held, lost = Claim(info, holds=True), Claim(info, holds=False)
        for row in _rows(info, record):
            self._rows += 1
            if self._rows > MAX_ROWS:
                raise TooManyRowsError(f"its RECORDs have more than {MAX_ROWS} rows")
            if row.path.endswith(".pyc"):
                continue
            node = self._nodes.get(row.path) or self._nodes.get(self._links.file(row.path) or "")
            if node is None:
                missing.append(row.path)
                continue
            size += node.size
            holds = self._is_as_recorded(row, node, is_rewritten=is_rewritten)
            if not holds:
                changed.append(row.path)
            claims = self._claims.setdefault(node.path, [])
            if not claims or claims[-1].owner != info:  # a RECORD may name a file twice
                claims.append(held if holds else lost)
        return Compared(size, tuple(missing), tuple(changed))

    def _is_as_recorded(self, row: Row, node: Node, *, is_rewritten: bool) -> bool:
        if row.size not in (None, node.size):
            return False
        actual = None if is_rewritten else self._hashes.get(node.path)
        return actual is None or row.sha256 in (None, actual)


def _rows(info: str, record: str) -> Iterator[Row]:
    """The rows of a RECORD; up to the first that cannot be parsed."""
    site = info.rpartition("/")[0]
    try:
        for path, *rest in filter(None, csv.reader(record.splitlines())):
            if path:
                algorithm, _, digest = rest[0].partition("=") if rest else ("", "", "")
                yield Row(
                    path=normpath(join(site, path)),
                    sha256=digest if algorithm == "sha256" and digest else None,
                    size=whole(rest[1]) if len(rest) > 1 else None,
                )
    except csv.Error:
        return
