"""The packages of an image, noted while its files are walked through for something else.

A certificate needs a walk through all layers anyway. So this stands between it and the files: what the other
asks for it gets, and of the rest only the few files are read that say what is installed.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field, replace
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Self

from packaging.utils import canonicalize_name, canonicalize_version

from pipeline.adapters.image_files.nodes import everywhere
from pipeline.formats import dpkg
from pipeline.formats.licences import licence_of
from pipeline.model import Bill, Package, PackageKind
from pipeline.model.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

    from pipeline.adapters.image_files.nodes import Content, FileSystem, Node
    from pipeline.model import Lock

MAX_BYTES = 16_000_000
"""Of a file that is read. Debian's status of 700 packages has 0.7 MB."""

MAX_HEADER_CHARACTERS = 1 << 20
"""Of a METADATA: its fields, less the description below them, have some kilobytes."""

MAX_PACKAGES = 20_000
"""Of one image; ours have some 300."""

_METADATA = re.compile(r"(?P<info>.*/[^/]+\.dist-info)/METADATA|(?P<egg>.*/[^/]+\.egg-info)(?:/PKG-INFO)?")
"""An egg is what distutils installed, and what Debian still does."""

_OS_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
_OS_FIELD = re.compile(r"^(ID|VERSION_ID)=[\"']?([A-Za-z0-9._-]*)", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,198}[a-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z.!+_-]{1,200}")

_OTHER_MANAGERS = (
    (re.compile(r"/lib/apk/db/installed"), "Alpine's packages"),
    (re.compile(r"/(?:var|usr)/lib/(?:sysimage/)?rpm/(?:rpmdb\.sqlite|Packages(?:\.db)?)"), "RPM's packages"),
    (re.compile(r".*/conda-meta/[^/]+\.json"), "packages of conda that are no Python distributions"),
)
"""Files of package managers that are not read, and what of theirs a bill lacks."""


@dataclass
class Reading:
    """A :class:`FileSystem` that notes the packages of another while somebody walks through it."""

    files: FileSystem
    _found: dict[str, tuple[Package, ...]] = field(default_factory=dict)
    """The packages that each file names, by its path."""
    _systems: dict[str, tuple[str, str]] = field(default_factory=dict)
    _unread: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name, self.digest = self.files.name, self.files.digest
        self.config, self.layers = self.files.config, self.files.layers

    def __enter__(self) -> Self:
        self.files.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.files.__exit__(kind, error, trace)

    def walk(
        self, wants: Callable[[Node], bool], enters: Callable[[str], bool] = everywhere
    ) -> Generator[tuple[Node, Content]]:
        """The walk that was asked for, with nothing more and nothing less in it."""
        with closing(self.files.walk(lambda node: _tells(node) or wants(node), enters)) as walk:
            for node, content in walk:
                self._note(node, content)
                is_ours_alone = _tells(node) and not wants(node)
                yield node, None if is_ours_alone else content

    def bill(self, created: str) -> Bill:
        """What the image is made of, once a walk has come to its end.

        Raises ImageError where it has more packages than any honest image.
        """
        merged: dict[tuple[str, str, str, str], Package] = {}
        for package in (package for path in sorted(self._found) for package in self._found[path]):
            key = (package.kind, package.name, package.version, package.architecture)
            merged[key] = _merged(merged[key], package) if key in merged else package
            if len(merged) > MAX_PACKAGES:
                raise ImageError(
                    f"{self.name} names more than {MAX_PACKAGES} packages",
                    hint="no ordinary image has as many; look at what its dist-info folders are",
                )
        systems = (self._systems[path] for path in _OS_RELEASES if path in self._systems)
        return Bill(
            image=self.name,
            digest=self.digest,
            created=created,
            packages=tuple(merged[key] for key in sorted(merged)),
            system=next(systems, ("", "")),
            unread=tuple(dict.fromkeys(self._unread[path] for path in sorted(self._unread))),
        )

    def read(self) -> None:
        """Walk through it for nothing else."""
        with closing(self.walk(_nothing)) as walk:
            for _ in walk:
                pass

    def _note(self, node: Node, content: Content) -> None:
        """What a file names; a path that comes twice counts as it came last."""
        for noted in (self._found, self._systems, self._unread):
            noted.pop(node.path, None)
        others = (what for pattern, what in _OTHER_MANAGERS if pattern.fullmatch(node.path))
        if other := next(others, None):
            self._unread[node.path] = f"{other} are there and not read"
        elif _is_told_by(node.path) and node.kind == "file":
            if isinstance(content, memoryview):
                self._read(node.path, bytes(content).decode("utf-8", "replace"))
            else:
                self._unread[node.path] = f"{node.path} could not be read"

    def _read(self, path: str, text: str) -> None:
        if path in _OS_RELEASES:
            fields = dict(_OS_FIELD.findall(text))
            self._systems[path] = (fields.get("ID", ""), fields.get("VERSION_ID", ""))
        elif match := _METADATA.fullmatch(path):
            self._found[path] = tuple(_distribution(match["info"] or match["egg"], text))
            if not self._found[path]:
                self._unread[path] = f"{path} names no package and no version"
        else:
            self._found[path] = tuple(dpkg.packages(text))


def with_wheels(bill: Bill, lock: Lock) -> Bill:
    """The same bill, in which each Python distribution of a lock says from which wheel it was installed."""
    pins = {(pin.name, canonicalize_version(pin.version)): pin for pin in lock.pins}
    packages = (
        replace(package, wheel=pins.get((package.name, canonicalize_version(package.version))))
        if package.kind is PackageKind.PYTHON
        else package
        for package in bill.packages
    )
    return replace(bill, packages=tuple(packages))


def _nothing(_node: Node) -> bool:
    return False


def _tells(node: Node) -> bool:
    return node.kind == "file" and node.size <= MAX_BYTES and _is_told_by(node.path)


def _is_told_by(path: str) -> bool:
    """Whether the file at this path says what is installed, or on what."""
    return path in _OS_RELEASES or dpkg.is_status(path) or bool(_METADATA.fullmatch(path))


def _distribution(info: str, text: str) -> Iterator[Package]:
    """The Python distribution of a METADATA, where that gives it a name and a version that are some."""
    metadata = HeaderParser().parsestr(text[:MAX_HEADER_CHARACTERS])
    name = canonicalize_name(str(metadata.get("Name", "")).strip())
    version = str(metadata.get("Version", "")).strip()
    if _NAME.fullmatch(name) and _VERSION.fullmatch(version):
        yield Package(PackageKind.PYTHON, name, version, licence=licence_of(metadata), found_in=(info,))


def _merged(first: Package, second: Package) -> Package:
    """One package that is found in two places."""
    return replace(
        first, licence=first.licence or second.licence, found_in=(*first.found_in, *second.found_in)
    )
