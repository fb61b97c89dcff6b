"""Links of an image, followed as Linux follows them, and never out of it."""

from __future__ import annotations

from posixpath import dirname, join
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.image_files.nodes import Node

MAX_LINKS = 40
"""Links in one path before Linux answers ELOOP (path_resolution(7))."""


class Links:
    """Where paths lead among these nodes, which must not change: answers for folders are remembered."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._folders: dict[str, str | None] = {}

    def real(self, path: str) -> str | None:
        """The path without any link in it, whether or not something is there; None for links in a circle.

        ``path`` is absolute. ``..`` at the root stays there, so nothing leads out of the image.
        """
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._follow("/", folder)
        start = self._folders[folder]
        return None if start is None else self._follow(start, name)

    def entered(self, path: str) -> tuple[str, ...]:
        """The folders that have to be entered to get to what this path names, links followed, in order."""
        folders: dict[str, None] = {}
        self._follow("/", path, folders)
        return tuple(folders)

    def file(self, path: str) -> str | None:
        """The real path of the file that this path leads to; None where it leads to none."""
        node = self._nodes.get(self.real(path) or "")
        return node.path if node and node.kind == "file" else None

    def _follow(self, place: str, path: str, entered: dict[str, None] | None = None) -> str | None:
        """From a real place along a path, its links and theirs; the folders on the way into ``entered``."""
        followed, steps = 0, path.split("/")[::-1]
        while steps:
            step = steps.pop()
            if step == "..":
                place = dirname(place)
            elif step not in ("", "."):
                if entered is not None:
                    entered[place] = None
                target = join(place, step)
                node = self._nodes.get(target)
                if node is None or node.kind != "link":
                    place = target
                    continue
                followed += 1
                if followed > MAX_LINKS:
                    return None
                place = "/" if node.target.startswith("/") else place
                steps += node.target.split("/")[::-1]
        return place
