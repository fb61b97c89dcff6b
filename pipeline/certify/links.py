"""Links inside an image, followed as the kernel follows them, and never out of it."""

from __future__ import annotations

from posixpath import dirname
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.filesystem.nodes import Node

MOST = 40
"""Links that Linux follows in one look-up before it answers ELOOP (path_resolution(7))."""


class Links:
    """The nodes of an image, by whatever path leads to them. Folders are remembered: nodes do not change."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._folders: dict[str, str | None] = {"": "/"}

    def real(self, path: str) -> str | None:
        """The absolute path with every link followed, whether or not a node is there; None for a circle."""
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._walk("/", folder)
        start = self._folders[folder]
        return None if start is None else self._walk(start, name)

    def file(self, path: str) -> str | None:
        """The real path of the file that this path leads to; None where there is none."""
        real = self.real(path)
        node = self._nodes.get(real) if real else None
        return node.path if node and node.kind == "file" else None

    def _walk(self, here: str, path: str) -> str | None:
        left, ahead = MOST, path.split("/")[::-1]
        while ahead:
            name = ahead.pop()
            if name == "..":
                here = dirname(here)
            elif name not in {"", "."}:
                step = f"{here.rstrip('/')}/{name}"
                node = self._nodes.get(step)
                if node is None or node.kind != "link":
                    here = step
                    continue
                left -= 1
                if left < 0:
                    return None
                here = "/" if node.target.startswith("/") else here
                ahead += node.target.split("/")[::-1]
        return here
