"""Surveying: the files of an image in, an inventory of what the rules look at out.

One walk. Every node is noted; of files only those are read that a rule asks for: ELF objects, the metadata of
Python packages, the loader's cache and some small texts. What cannot be understood is noted, not fatal.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field
from email.parser import HeaderParser
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING

from pipeline.certify import elf, ldcache
from pipeline.certify.inventory import Distribution, Inventory
from pipeline.certify.reads import MOST_BYTES, reads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.certify.inventory import Cached, SharedObject
    from pipeline.filesystem.nodes import FileSystem, Node

MOST_RECORD_BYTES = 16_000_000
"""Bytes of a RECORD that are read. That of torch, which lists 12,000 files, has 1.3 MB."""

_MAGIC = b"\x7fELF"
_SMALLEST = 64
"""Bytes of the header of a 64-bit ELF object: a smaller file is none."""
_METADATA = re.compile(r"(?P<info>.*\.dist-info)/(?P<file>METADATA|RECORD|INSTALLER)")


def survey(files: FileSystem) -> Inventory:
    """What there is in an image, and what the files that matter say. Raises ImageError as walking does."""
    seen = _Seen()
    for node, data in files.walk(_wants):
        seen.nodes[node.path] = node
        if data is not None:
            seen.read(node, data)
    return Inventory(
        name=files.name,
        digest=files.digest,
        config=files.config,
        layers=files.layers,
        nodes=seen.nodes,
        objects=seen.objects,
        distributions=tuple(seen.distributions()),
        texts=seen.texts,
        linker_cache=seen.cached(),
        unreadable=(*seen.unreadable, *files.unreadable),
    )


def _wants(node: Node) -> bool:
    if node.kind != "file":
        return False
    found = _METADATA.fullmatch(node.path)
    if found or node.path == ldcache.PATH:
        return node.size <= MOST_RECORD_BYTES
    return _may_be_elf(node) or (node.size <= MOST_BYTES and reads(node.path))


def _may_be_elf(node: Node) -> bool:
    """Whether it is a program or a library by its mode or its name; its first bytes decide."""
    return node.size >= _SMALLEST and (bool(node.mode & 0o111) or ".so" in node.path.rpartition("/")[2])


@dataclass
class _Seen:
    """What was found so far."""

    nodes: dict[str, Node] = field(default_factory=dict)
    objects: dict[str, SharedObject] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    packages: dict[str, dict[str, str]] = field(default_factory=dict)
    """By the path of a ``.dist-info`` the texts of the files in it that say what it is."""
    cache: bytes | None = None

    def read(self, node: Node, data: memoryview) -> None:
        """Take from a file what the rules look at."""
        if found := _METADATA.fullmatch(node.path):
            text = bytes(data).decode("utf-8", "replace")
            self.packages.setdefault(found["info"], {})[found["file"]] = text
        elif node.path == ldcache.PATH:
            self.cache = bytes(data)
        elif bytes(data[: len(_MAGIC)]) == _MAGIC:
            self._read_object(node, data)
        elif reads(node.path):
            self.texts[node.path] = bytes(data[:MOST_BYTES]).decode("utf-8", "replace")

    def _read_object(self, node: Node, data: memoryview) -> None:
        try:
            found = elf.read(node.path, data)
        except elf.ElfError as error:
            self.unreadable.append((node.path, str(error)))
        else:
            if found is not None:
                self.objects[node.path] = found

    def cached(self) -> tuple[Cached, ...] | None:
        """The loader's cache, for the machine that most objects are for."""
        if self.cache is None:
            return None
        machines = Counter(one.machine for one in self.objects.values())
        machine = machines.most_common(1)[0][0] if machines else "x86_64"
        try:
            return ldcache.read(self.cache, machine)
        except ValueError as error:
            self.unreadable.append((ldcache.PATH, str(error)))
            return None

    def distributions(self) -> Iterator[Distribution]:
        """The Python packages, each with the files of its RECORD held against what is there."""
        for info, texts in sorted(self.packages.items()):
            if "METADATA" not in texts:
                continue
            said = HeaderParser().parsestr(texts["METADATA"])
            size, broken = self._recorded(dirname(info), texts.get("RECORD", ""))
            yield Distribution(
                name=re.sub(r"[-_.]+", "-", str(said.get("Name", ""))).lower(),
                version=str(said.get("Version", "")),
                installer=texts.get("INSTALLER", "").strip(),
                path=info,
                broken_files=tuple(broken),
                size=size,
            )

    def _recorded(self, site: str, record: str) -> tuple[int, list[str]]:
        """The bytes of the files that a RECORD lists, and those that are absent or of another size."""
        size, broken = 0, []
        for row in _rows(record):
            path = normpath(join(site, row[0]))
            node = self.nodes.get(path)
            if node is None:
                broken.append(path)
                continue
            size += node.size
            if len(row) > 2 and row[2].isdecimal() and int(row[2]) != node.size:  # noqa: PLR2004 - path, hash, size
                broken.append(path)
        return size, broken


def _rows(record: str) -> Iterator[list[str]]:
    """The rows of a RECORD: path, hash, size. One that cannot be read ends them."""
    try:
        yield from (row for row in csv.reader(record.splitlines()) if row and row[0])
    except csv.Error:
        return
