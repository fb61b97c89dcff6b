"""Reads the files of an image into an inventory for the rules, in one walk.

Every node is recorded; read are only the files that a rule needs: ELF objects, the metadata and the modules
of Python packages, the loader's cache and some small texts. A file that cannot be parsed is recorded, not
fatal.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from email.parser import HeaderParser
from posixpath import basename, dirname
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from pipeline.adapters.image_files.links import Links
from pipeline.adapters.image_files.nodes import Unreadable
from pipeline.formats import cuda_compilers
from pipeline.formats.elf import ld_cache, reader
from pipeline.model.errors import ImageError
from pipeline.stages.audit import start_files
from pipeline.stages.audit.inventory import Distribution, Inventory
from pipeline.stages.audit.python import site_of
from pipeline.stages.audit.records import Records, TooManyRowsError, hash_of, is_hashed, is_module, path_file
from pipeline.stages.audit.text_globs import MAX_TEXT_BYTES, is_text_needed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

    from pipeline.adapters.image_files.nodes import FileSystem, Node
    from pipeline.formats.cuda_compilers import CudaCompiler
    from pipeline.formats.elf.objects import Cached, SharedObject
    from pipeline.stages.audit.inventory import StartFile

MAX_RECORD_BYTES = 16_000_000
"""How large a RECORD may be, in bytes. That of torch, which lists 12,000 files, has 1.3 MB."""

MAX_ALL_TEXT_BYTES = 64 << 20
"""Bytes of all texts together. A CUDA environment of 208 packages has 9 MB."""

MAX_REQUIREMENT_CHARACTERS = 4 << 20
"""Characters of the requirements of all packages together. The 79 packages that this project is
made with have 13,000."""

MAX_NAME_BYTES = 1 << 30
"""Bytes in memory of the names of all objects together. That environment has 490,000 of them, in 70 MB."""

_NAME_OVERHEAD = 100
"""Bytes in memory of a name without its letters: the string object and its slot in a set."""

_MAGIC = b"\x7fELF"
_MIN_ELF_BYTES = 64
"""Bytes of the header of a 64-bit ELF object: a smaller file is not one."""
_MAX_SCRIPT_LINE = 255
"""Bytes of a script's first line that Linux reads."""
_INFO = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info")
_METADATA = re.compile(r"(?P<info>.*\.dist-info)/(?P<file>METADATA|RECORD|INSTALLER)")


def survey(files: FileSystem) -> Inventory:
    """The inventory of an image. Raises ImageError if it cannot be read, or is too large to survey."""
    collector = _Collector()
    try:
        with closing(files.walk(_is_needed)) as walk:
            for node, data in walk:
                collector.note(node)
                if isinstance(data, Unreadable):
                    collector.unreadable.append((node.path, data.reason))
                elif data is not None:
                    collector.read(node, data)
        records = collector.records()
        distributions = tuple(collector.distributions(records))
    except (_TooLargeError, TooManyRowsError) as error:
        raise ImageError(
            f"{files.name} cannot be surveyed: {error}",
            hint="no ordinary image has as much; if it is yours, remove what it does not need to run",
        ) from error
    return Inventory(
        name=files.name,
        digest=files.digest,
        config=files.config,
        layers=files.layers,
        nodes=collector.nodes,
        objects=collector.objects,
        distributions=distributions,
        texts=collector.texts,
        claims=records.claims(),
        path_files=collector.path_files,
        start_files=collector.start_files,
        linker_cache=collector.cached(),
        compilers=collector.compilers,
        interpreters=collector.interpreters,
        unreadable=tuple(collector.unreadable),
    )


def _is_needed(node: Node) -> bool:
    if node.kind != "file":
        return False
    is_metadata = _METADATA.fullmatch(node.path)
    if is_metadata or node.path == ld_cache.PATH:
        return node.size <= MAX_RECORD_BYTES
    return _may_be_elf(node) or is_module(node) or (node.size <= MAX_TEXT_BYTES and is_text_needed(node.path))


def _may_be_elf(node: Node) -> bool:
    """Whether mode or name look like a program or a library; its first bytes decide later."""
    return node.size >= _MIN_ELF_BYTES and (bool(node.mode & 0o111) or ".so" in node.path.rpartition("/")[2])


class _TooLargeError(Exception):
    """The image needs more memory than one may take."""


@dataclass
class _Collector:
    """Collects the inventory. Its methods raise _TooLargeError."""

    nodes: dict[str, Node] = field(default_factory=dict)
    objects: dict[str, SharedObject] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    packages: dict[str, dict[str, str]] = field(default_factory=dict)
    """For each ``.dist-info``, by path, the texts of its METADATA, RECORD and INSTALLER."""
    compilers: dict[str, CudaCompiler] = field(default_factory=dict)
    interpreters: dict[str, str] = field(default_factory=dict)
    path_files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    start_files: dict[str, StartFile] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    """The sha256 of the files of packages whose content matters, as a RECORD writes it."""
    cache: bytes | None = None
    text_bytes: int = 0
    requirements: int = 0
    name_bytes: int = 0

    def note(self, node: Node) -> None:
        """Record a node. A path that comes twice replaces the earlier one, and all that was read from it."""
        if node.path in self.nodes:
            self.objects.pop(node.path, None)
            self.texts.pop(node.path, None)
            self.compilers.pop(node.path, None)
            self.interpreters.pop(node.path, None)
            self.hashes.pop(node.path, None)
            self.path_files.pop(node.path, None)
            self.start_files.pop(node.path, None)
            self.unreadable = [entry for entry in self.unreadable if entry[0] != node.path]
            info, _, file = node.path.rpartition("/")
            self.packages.get(info, {}).pop(file, None)
        self.nodes[node.path] = node

    def read(self, node: Node, data: memoryview) -> None:
        """Read from a file what the rules need."""
        if match := _METADATA.fullmatch(node.path):
            self.packages.setdefault(match["info"], {})[match["file"]] = self._text(data)
        elif node.path == ld_cache.PATH:
            self.cache = bytes(data)
        elif bytes(data[: len(_MAGIC)]) == _MAGIC:
            self._hash(node, data)
            self._read_object(node, data)
            self._read_compiler(node, data)
        else:
            if is_module(node):
                self._hash(node, data)
                self._read_path_file(node, data)
                if start_files.is_start_file(node.path):
                    self.start_files[node.path] = start_files.read(node.path, data)
            self._read_text(node, data)

    def _hash(self, node: Node, data: memoryview) -> None:
        if is_hashed(node):
            self.hashes[node.path] = hash_of(data)

    def _text(self, data: memoryview) -> str:
        self.text_bytes += len(data)
        if self.text_bytes > MAX_ALL_TEXT_BYTES:
            raise _TooLargeError(
                f"its metadata and small texts have more than {MAX_ALL_TEXT_BYTES >> 20} MiB"
            )
        return bytes(data).decode("utf-8", "replace")

    def _read_object(self, node: Node, data: memoryview) -> None:
        try:
            obj = reader.read(node.path, data)
        except reader.ElfError as error:
            self.unreadable.append((node.path, str(error)))
        else:
            if obj is not None:
                self.name_bytes += _weight(obj)
                if self.name_bytes > MAX_NAME_BYTES:
                    raise _TooLargeError(
                        f"the names in its objects take more than {MAX_NAME_BYTES >> 20} MiB"
                    )
                self.objects[node.path] = obj

    def _read_compiler(self, node: Node, data: memoryview) -> None:
        """What it is able to make, if by its name it is one of NVIDIA's compilers."""
        if basename(node.path) in cuda_compilers.NAMES and (compiler := cuda_compilers.read(data)):
            self.compilers[node.path] = compiler

    def _read_path_file(self, node: Node, data: memoryview) -> None:
        is_path_file = node.path.endswith(".pth") and node.size <= MAX_TEXT_BYTES
        if is_path_file and site_of(node.path) == dirname(node.path):
            self.path_files[node.path] = path_file(node.path, self._text(data))

    def _read_text(self, node: Node, data: memoryview) -> None:
        """The text of a file that a rule reads, and what a script is started with."""
        if is_text_needed(node.path):
            self.texts[node.path] = self._text(data)
        if interpreter := _interpreter(data):
            self.interpreters[node.path] = interpreter

    def cached(self) -> tuple[Cached, ...] | None:
        """The loader's cache, for the machine of most objects."""
        if self.cache is None:
            return None
        machines = Counter(obj.machine for obj in self.objects.values())
        machine = machines.most_common(1)[0][0] if machines else "x86_64"
        try:
            return ld_cache.read(self.cache, machine)
        except ValueError as error:
            self.unreadable.append((ld_cache.PATH, str(error)))
            return None

    def records(self) -> Records:
        """What the packages' RECORDs are compared with."""
        return Records(self.nodes, Links(self.nodes), self.hashes)

    def distributions(self, records: Records) -> Iterator[Distribution]:
        """The Python packages, each with the files of its RECORD compared with those in the image."""
        for info, texts in sorted(self.packages.items()):
            if "METADATA" not in texts:
                continue
            metadata = HeaderParser().parsestr(texts["METADATA"])
            installer = texts.get("INSTALLER", "").strip()
            record = texts.get("RECORD", "")
            files = records.compare(info, record, is_rewritten=installer == "conda")
            name, version = _name_and_version(metadata, info)
            yield Distribution(
                name=name,
                version=version,
                installer=installer,
                path=info,
                missing=files.missing,
                changed=files.changed,
                size=files.size,
                requires=self._requirements(metadata),
            )

    def _requirements(self, metadata: Message) -> tuple[str, ...]:
        requirements = tuple(
            " ".join(str(requirement).split()) for requirement in metadata.get_all("Requires-Dist", ())
        )
        self.requirements += sum(map(len, requirements))
        if self.requirements > MAX_REQUIREMENT_CHARACTERS:
            raise _TooLargeError(
                f"its packages' requirements have more than {MAX_REQUIREMENT_CHARACTERS >> 20} MiB"
            )
        return requirements


def _name_and_version(metadata: Message, info: str) -> tuple[str, str]:
    """The normalised name and the version of a package; those of its folder if METADATA has none."""
    folder = _INFO.fullmatch(basename(info))
    names = (str(metadata.get("Name", "")).strip(), folder["name"] if folder else "")
    versions = (str(metadata.get("Version", "")).strip(), folder["version"] if folder else "")
    return canonicalize_name(next(filter(None, names), "")), next(filter(None, versions), "")


def _interpreter(data: memoryview) -> str:
    """The program that the kernel starts for a script; empty where it is none (execve(2))."""
    head = bytes(data[:_MAX_SCRIPT_LINE])
    words = head[2:].partition(b"\n")[0].split() if head.startswith(b"#!") else ()
    return words[0].decode("utf-8", "replace") if words else ""


def _weight(obj: SharedObject) -> int:
    """Roughly the bytes that its names take in memory."""
    versions = [version for _, names in obj.version_needs for version in names]
    lists = (obj.undefined, obj.defined, obj.version_defines, versions, obj.needs, obj.rpath, obj.runpath)
    return sum(sum(map(len, names)) + _NAME_OVERHEAD * len(names) for names in lists)
