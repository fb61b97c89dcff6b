"""What one layer holds, whatever the layers above and below it hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from posixpath import basename, dirname, join
from typing import TYPE_CHECKING

from pipeline.adapters.image_files.limits import BrokenError
from pipeline.adapters.image_files.nodes import Node
from pipeline.adapters.image_files.overlay import META, OPAQUE, WHITEOUT, above

if TYPE_CHECKING:
    from pipeline.adapters.image_files.limits import Meter
    from pipeline.adapters.image_files.tar import Entry


@dataclass(slots=True)
class LayerEntry:
    """An entry of a layer. ``ordinal`` is the number of the entry that holds its bytes."""

    node: Node
    ordinal: int
    is_hard_link: bool = False
    is_yielded: bool = False
    """Whether the walk has handed it out."""


class Contents:
    """The entries of a layer as they come, the last of each path, and what it hides of the layers below."""

    def __init__(self, number: int, meter: Meter) -> None:
        self.number = number
        self._meter = meter
        self._removed: set[str] = set()
        self.opaque: set[str] = set()
        """Folders whose content in lower layers is not seen."""
        self.folders: set[str] = {"/"}
        """Folders that hold an entry of it, named or not."""
        self.entries: dict[str, LayerEntry] = {}

    def add(self, entry: Entry, ordinal: int) -> LayerEntry | None:
        """One more entry; None for a mark. Raises BrokenError where it contradicts an earlier one."""
        folder, name = dirname(entry.path), basename(entry.path)
        if name == OPAQUE:
            self.opaque.add(folder)
        elif f"/{META}" in entry.path:
            pass
        elif name.startswith(WHITEOUT):
            self._remove(folder, name.removeprefix(WHITEOUT))
        else:
            self._enter(entry.path, is_folder=entry.kind == "directory")
            self.entries[entry.path] = layer_entry = self._layer_entry(entry, ordinal)
            return layer_entry
        return None

    def removed(self) -> set[str]:
        """The paths that this layer removes from the layers below, with all that is in them."""
        covering = {path for path, held in self.entries.items() if held.node.kind != "directory"}
        return covering | self._removed

    def _layer_entry(self, entry: Entry, ordinal: int) -> LayerEntry:
        if entry.kind == "hard link":
            return self._linked(entry)
        node = Node(
            path=entry.path,
            kind=entry.kind,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            size=entry.size,
            layer=self.number,
            target=entry.link,
        )
        return LayerEntry(node, ordinal)

    def _linked(self, entry: Entry) -> LayerEntry:
        """The file that a hard link names, by the link's name; as for engines, one of the same layer."""
        named = self.entries.get(entry.link)
        if named is None:
            raise BrokenError(f"{entry.path} is a hard link to {entry.link}, which this layer does not hold")
        if named.node.kind == "directory":
            raise BrokenError(f"{entry.path} is a hard link to the folder {entry.link}")
        return LayerEntry(replace(named.node, path=entry.path), named.ordinal, is_hard_link=True)

    def _remove(self, folder: str, name: str) -> None:
        if name in ("", ".", ".."):
            raise BrokenError(f"a whiteout in {folder} that names {name!r}")
        self._removed.add(join(folder, name))

    def _enter(self, path: str, *, is_folder: bool) -> None:
        """Note the folders that an entry is in, and what it replaces.

        A folder with something in it that this layer also holds as something else is a contradiction.
        """
        if path in self.folders and not is_folder:
            raise BrokenError(f"{path} is a folder with something in it, and then none")
        if is_folder and path in self.entries and self.entries[path].node.kind != "directory":
            self.opaque.add(path)  # the file that it replaces has hidden what lower layers have there
        for folder in above(path):
            if folder in self.folders:
                break
            held = self.entries.get(folder)
            if held and held.node.kind != "directory":
                raise BrokenError(f"{path} is in {folder}, which is no folder")
            self._meter.entry()
            self._meter.name(folder)
            self.folders.add(folder)
