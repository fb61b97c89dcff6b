"""What there is in an image: nodes, layers, and the configuration that the image says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from pipeline.formats.image_config import ImageConfig

Kind = Literal["file", "directory", "link", "other"]
"""``other`` is a device, a pipe or a socket; a hard link is the file that it names."""


@dataclass(frozen=True, slots=True)
class Node:
    """One visible thing. ``path`` is absolute, normalised and without ``..``; ``target`` is a link's text.

    Bytes of a name that are not UTF-8 are written out in hexadecimal, so that every name can be printed.
    ``mode`` holds the permission bits, set-user and sticky bits included; ``size`` is in bytes; ``layer`` is
    the number of the layer that brings it, 0 at the bottom.
    """

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    layer: int
    target: str = ""


@dataclass(frozen=True)
class Layer:
    """A layer: its digest ("sha256:…", empty for a folder), its packed size in bytes, and what made it."""

    digest: str
    size: int
    made_by: str = ""


@dataclass(frozen=True)
class Unreadable:
    """Why the content of a wanted file, or of a folder, cannot be had. The walk goes on without it."""

    reason: str


Content = memoryview | Unreadable | None
"""What comes with a node: the bytes of a wanted file, why they cannot be had, or nothing."""


def everywhere(folder: str) -> bool:  # noqa: ARG001 - every one is entered, whatever its path
    """Whether a walk enters a folder: it does."""
    return True


class FileSystem(Protocol):
    """The files of one image. Use it as a context manager."""

    name: str
    """What a report calls it: a reference by digest, an archive's or a folder's path."""
    digest: str
    """``sha256:…`` of the manifest; empty where there is none."""
    config: ImageConfig
    layers: tuple[Layer, ...]

    def walk(
        self, wants: Callable[[Node], bool], enters: Callable[[str], bool] = everywhere
    ) -> Generator[tuple[Node, Content]]:
        """Every visible node, the root too, in no particular order; with its bytes where it is a wanted file.

        ``enters`` is asked of a folder's path where listing it costs something: what is below one that is not
        entered may be left out.

        ``wants`` is asked of visible files only. The bytes are valid until the next node is asked for. Where
        a path comes twice, as a layer may hold it, the later node counts; so does a folder that turns out to
        be unreadable. Raises ImageError where the image as a whole cannot be read. Close a walk that you do
        not take to its end.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
