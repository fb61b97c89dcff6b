"""Layers lie on each other: what those above show, and what they hide of those below.

Layers are taken from the top down, so that what is hidden is never read. The rules are those of the OCI
image specification (layer.md) as overlay file systems apply them: of a path the uppermost layer counts;
``.wh.NAME`` hides NAME, and ``.wh..wh..opq`` all that its folder holds further down; what is no folder hides
all that lies below its path.
"""

from __future__ import annotations

from posixpath import dirname
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
META = ".wh..wh."
"""How names begin by which AUFS kept its own books; some old layers still hold them."""


def above(path: str) -> Iterator[str]:
    """The folders that a path is in, the nearest first, the root last."""
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


class Overlay:
    """What is visible of the layers so far."""

    def __init__(self) -> None:
        self._shown: set[str] = set()
        self._gone: set[str] = set()
        self._opaque: set[str] = set()
        self._implied: dict[str, int] = {}
        self._open: dict[str, bool] = {}
        """Folders by whether layers below still show in them; for the layer that is being read."""

    def shows(self, path: str, *, folder: bool) -> bool:
        """Whether a path of the next layer is visible. What upper layers need as a folder must be one."""
        if path in self._shown or path in self._gone or (path in self._implied and not folder):
            return False
        parent = dirname(path)
        if parent not in self._open:
            self._open[parent] = not any(
                folder in self._gone or folder in self._opaque for folder in above(path)
            )
        return self._open[parent] or path == "/"

    def show(self, path: str) -> None:
        """From here on this path is shown."""
        self._shown.add(path)

    def imply(self, folder: str, layer: int) -> None:
        """The layer holds something in this folder, named or not: it is there, whatever becomes of that."""
        if self.shows(folder, folder=True):
            self._implied.setdefault(folder, layer)

    def end_layer(self, gone: Iterable[str], opaque: Iterable[str]) -> None:
        """The layer is over: below it ``gone`` paths are hidden, and all in them and in ``opaque`` ones."""
        self._gone.update(gone)
        self._opaque.update(opaque)
        self._open.clear()

    def unnamed(self) -> Iterator[tuple[str, int]]:
        """The folders that no layer names but that hold something, and the layer that does."""
        return ((path, layer) for path, layer in self._implied.items() if path not in self._shown)
