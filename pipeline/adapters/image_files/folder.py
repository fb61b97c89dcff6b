"""A folder as the root of an image: an unpacked one, or an environment somewhere on this machine."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self

from pipeline.adapters.image_files.limits import MAX_FILE_BYTES, BrokenError, Meter
from pipeline.adapters.image_files.nodes import Content, Kind, Layer, Node, Unreadable, everywhere
from pipeline.adapters.image_files.spool import IN_MEMORY_BYTES, mapped
from pipeline.adapters.image_files.tar import text
from pipeline.formats.image_config import ImageConfig
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
        self.config = ImageConfig()
        self.layers: tuple[Layer, ...] = (Layer("", 0),)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open between two nodes."""

    def walk(
        self, wants: Callable[[Node], bool], enters: Callable[[str], bool] = everywhere
    ) -> Generator[tuple[Node, Content]]:
        """See :class:`FileSystem`."""
        meter = Meter()
        try:
            top = self._root.stat()
            root = _node("/", top, "")
            yield root, None
            folders = [(root, os.fsencode(self._root))]
            while folders:
                for listed in _list(*folders.pop(), meter):
                    is_here = listed.node.kind == "directory" and listed.device == top.st_dev
                    if is_here and enters(listed.node.path):
                        folders.append((listed.node, listed.real))
                    if listed.node.kind == "file" and wants(listed.node):
                        with _content(listed.real) as content:
                            yield listed.node, content
                    else:
                        yield listed.node, listed.failure
        except BrokenError as error:
            raise ImageError(f"{self.name} cannot be read: {error}", hint="name a smaller folder") from error


class _Listed(NamedTuple):
    """A node of a folder, its path on this machine, and its device; or the folder again, and why it ends."""

    node: Node
    real: bytes
    device: int = -1
    failure: Unreadable | None = None


def _list(folder: Node, real: bytes, meter: Meter) -> Iterator[_Listed]:
    """What is in a folder; at last the folder itself where not all of it can be listed."""
    try:
        with os.scandir(real) as listing:
            for entry in listing:
                status = entry.stat(follow_symlinks=False)
                target = _target(entry.path) if stat.S_ISLNK(status.st_mode) else ""
                node = _node(f"{folder.path.rstrip('/')}/{text(entry.name)}", status, target)
                meter.entry()
                meter.name(node.path)
                meter.name(target)
                yield _Listed(node, entry.path, status.st_dev)
    except OSError as error:
        yield _Listed(folder, real, failure=Unreadable(error.strerror or str(error)))


@contextmanager
def _content(real: bytes) -> Generator[memoryview | Unreadable]:
    """The bytes of a file, or why they cannot be had."""
    with ExitStack() as held:
        content: memoryview | Unreadable
        try:
            content = held.enter_context(_bytes(real))
        except OSError as error:
            content = Unreadable(error.strerror or str(error))
        yield content


@contextmanager
def _bytes(real: bytes) -> Generator[memoryview]:
    """The bytes of a regular file: no link is followed, no pipe or device is waited for. Raises OSError."""
    descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        size = os.fstat(descriptor).st_size
        if size > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if size > IN_MEMORY_BYTES:
            with mapped(descriptor, size) as view:
                yield view
        else:
            with memoryview(file.read(size)) as view:
                yield view


def _target(link: bytes) -> str:
    return text(os.readlink(link))  # noqa: PTH115 - pathlib knows no names that are bytes


def _node(path: str, status: os.stat_result, target: str) -> Node:
    kind = _kind(status.st_mode)
    return Node(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind == "file" else 0,
        layer=0,
        target=target,
    )


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"
