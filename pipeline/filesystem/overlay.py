"""Layers lie on each other: what those above show, and what they hide of those below.

Layers are taken from the top down, so that what is hidden is never read. The rules are those of the OCI image
specification (layer.md) as overlay file systems apply them: of a path the uppermost layer counts; ``.wh.NAME`` hides NAME,
and ``.wh..wh..opq`` all that its folder holds further down; what is no folder hides all that lies below its path.
"""

from __future__ import annotations

from posixpath import dirname
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.filesystem.limits import Meter

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
META = ".wh..wh."
"""How names begin by which AUFS kept its own books; some old layers still hold them."""


def above(path: str) -> Iterator[str]:
    """The folders that a path is in, the nearest first, the root last."""
    while path != "/":
        path = dirname(path)
        yield path


class Overlay:
    """What is visible of the layers so far."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._shown: set[str] = set()
        self._removed: set[str] = set()
        self._closed: set[str] = set()
        self._implied: dict[str, int] = {}
        self._folders: dict[str, bool] = {}

    def shows(self, path: str, *, folder: bool) -> bool:
        """Whether a path of the next layer is visible. A folder that upper layers imply is shown if it is one here."""
        if path in self._shown or path in self._removed or (path in self._implied and not folder):
            return False
        parent = dirname(path)
        visible = self._folders.get(parent)
        if visible is None:
            visible = self._folders[parent] = all(folder not in self._closed for folder in above(path))
        return visible or path == "/"

    def show(self, path: str, layer: int) -> None:
        """From here on this path is shown, and so are the folders that it is in."""
        self._shown.add(path)
        for folder in above(path):
            if folder in self._implied or folder in self._shown:
                break
            self._meter.entry()
            self._meter.name(folder)
            self._implied[folder] = layer

    def end_layer(self, removed: Iterable[str], closed: Iterable[str]) -> None:
        """The layer is over: below it, ``removed`` paths are gone, and so is all that is in ``closed`` ones."""
        self._removed.update(removed)
        self._closed.update(closed)
        self._folders.clear()

    def unnamed(self) -> Iterator[tuple[str, int]]:
        """The folders that no layer names but that hold something, and the layer that does."""
        return ((path, layer) for path, layer in self._implied.items() if path not in self._shown)
