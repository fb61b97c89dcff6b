"""A folder as the root of an image: an unpacked one, or an environment somewhere on this machine."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from pipeline.adapters.image_files.limits import FILE_BYTES, BrokenError, Meter
from pipeline.adapters.image_files.nodes import Config, Kind, Layer, Node
from pipeline.adapters.image_files.spool import SMALL, mapped
from pipeline.adapters.image_files.tar import text
from pipeline.model.errors import ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path


class Folder:
    """A :class:`FileSystem`: all below a folder, on the device that it is on itself. No link is followed.

    Raises UsageError where there is no such folder. Files are mapped, so only what is looked at is read.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UsageError(
                f"{root} is no folder", hint="name the folder that an image's root was unpacked to"
            )
        self._root = root.resolve()
        self.name = str(root)
        self.digest = ""
        self.config = Config()
        self.layers: tuple[Layer, ...] = (Layer("", 0),)
        self.unreadable: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open between two nodes."""

    def walk(self, wants: Callable[[Node], bool]) -> Generator[tuple[Node, memoryview | None]]:
        """See :class:`FileSystem`."""
        meter = Meter()
        try:
            top = self._root.stat()
            yield _node("/", top, ""), None
            folders = [("", os.fsencode(self._root))]
            while folders:
                path, real = folders.pop()
                for node, inner, same_device in self._list(path, real, top.st_dev, meter):
                    if node.kind == "directory" and same_device:
                        folders.append((node.path, inner))
                    if node.kind == "file" and wants(node):
                        with self._content(node, inner) as view:
                            yield node, view
                    else:
                        yield node, None
        except BrokenError as error:
            raise ImageError(f"{self.name} cannot be read: {error}", hint="name a smaller folder") from error

    def _list(self, path: str, real: bytes, device: int, meter: Meter) -> Iterator[tuple[Node, bytes, bool]]:
        """What is in a folder: each node, its place on this machine, and whether it is on this device."""
        try:
            with os.scandir(real) as listed:
                for one in listed:
                    seen = one.stat(follow_symlinks=False)
                    target = _target(one.path) if stat.S_ISLNK(seen.st_mode) else ""
                    node = _node(f"{path}/{text(one.name)}", seen, target)
                    meter.entry()
                    meter.name(node.path)
                    meter.name(target)
                    yield node, one.path, seen.st_dev == device
        except OSError as error:
            self.unreadable.append((path or "/", error.strerror or str(error)))

    @contextmanager
    def _content(self, node: Node, real: bytes) -> Generator[memoryview | None]:
        """The bytes of a file; None, and a line in ``unreadable``, where they cannot be had."""
        with ExitStack() as held:
            view = None
            try:
                view = held.enter_context(_bytes(real))
            except OSError as error:
                self.unreadable.append((node.path, error.strerror or str(error)))
            yield view


@contextmanager
def _bytes(real: bytes) -> Generator[memoryview]:
    """The bytes of a file, never of what a link, a pipe or a device would lead to. Raises OSError."""
    descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        size = os.fstat(descriptor).st_size
        if size > FILE_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if size > SMALL:
            with mapped(descriptor, size) as view:
                yield view
        else:
            with memoryview(file.read(size)) as view:
                yield view


def _target(link: bytes) -> str:
    return text(os.readlink(link))  # noqa: PTH115 - pathlib knows no names that are bytes


def _node(path: str, seen: os.stat_result, target: str) -> Node:
    kind = _kind(seen.st_mode)
    return Node(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(seen.st_mode),
        uid=seen.st_uid,
        gid=seen.st_gid,
        size=seen.st_size if kind == "file" else 0,
        layer=0,
        target=target,
    )


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"
