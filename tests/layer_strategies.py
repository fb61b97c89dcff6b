"""Random layers on each other, and a plain model of how engines unpack them: from the bottom up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from pipeline.adapters.image_files.overlay import above
from tests.crafted import Item

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"

PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


@dataclass
class Unpacked:
    """Each layer over those before it, its marks first, as engines do. By path: kind, bytes, mode, link."""

    tree: dict[str, tuple[str, bytes, int, str]] = field(default_factory=dict)

    def remove(self, path: str, *, itself: bool = True) -> None:
        below = [one for one in self.tree if one.startswith(f"{path}/")]
        for one in [*below, *([path] if itself else [])]:
            self.tree.pop(one, None)

    def apply(self, marks: list[Item], items: list[Item]) -> None:
        for mark in marks:
            folder_, _, name = f"/{mark.path}".rpartition("/")
            if name == OPAQUE:
                self.remove(folder_, itself=False)
            else:
                self.remove(f"{folder_}/{name.removeprefix(WHITEOUT)}")
        for item in items:
            self._put(item)

    def _put(self, item: Item) -> None:
        path = f"/{item.path}"
        made = self.tree[f"/{item.to}"] if item.kind == "hard link" else None
        for parent in [one for one in above(path) if one != "/"][::-1]:
            if self.tree.get(parent, ("",))[0] != "directory":
                self.remove(parent)
                self.tree[parent] = ("directory", b"", 0o755, "")
        if item.kind != "directory" or self.tree.get(path, ("",))[0] != "directory":
            self.remove(path)
        kind = {"device": "other", "pipe": "other"}.get(item.kind, item.kind)
        self.tree[path] = made or (kind, item.content, item.mode, item.to)


@dataclass(frozen=True)
class Stack:
    """Layers, the lowest first, each of marks and items, and what unpacking them gives."""

    layers: list[tuple[list[Item], list[Item]]]
    unpacked: Unpacked


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    """Layers that contradict nothing of their own."""
    unpacked, layers = Unpacked(), []
    for number in range(draw(st.integers(1, 4))):
        marks = [
            Item(f"{draw(PATHS)}/{OPAQUE}")
            if draw(st.booleans())
            else Item("/".join([*path.split("/")[:-1], WHITEOUT + path.split("/")[-1]]))
            for path in draw(st.lists(PATHS, max_size=2))
        ]
        unpacked.apply(marks, [])
        items: list[Item] = []
        for path in draw(st.lists(PATHS, max_size=5)):
            kinds = {one.path: one.kind for one in items}
            inner = any(one.startswith(f"{path}/") for one in kinds)
            solid = any(kinds.get(one[1:], "directory") != "directory" for one in above(f"/{path}"))
            kind = draw(st.sampled_from(["file", "file", "directory", "link", "hard link", "pipe"]))
            if solid or (inner and kind != "directory"):
                continue
            files = [f"/{one}" for one, last in kinds.items() if last != "directory"]
            if kind == "hard link" and not files:
                continue
            item = Item(
                path,
                kind,
                f"{path} of {number}".encode() * draw(st.sampled_from([0, 1, 3])) if kind == "file" else b"",
                {"link": "a/b", "hard link": draw(st.sampled_from(files or [""]))[1:]}.get(kind, ""),
                0o777 if kind == "link" else draw(st.sampled_from([0o644, 0o755, 0o4711])),
            )
            if kind == "hard link":  # as every program writes it: engines give a file its last name's mode
                item = replace(item, mode=unpacked.tree[f"/{item.to}"][2])
            items.append(item)
            unpacked.apply([], [item])
        layers.append((marks, items))
    return Stack(layers, unpacked)
