"""An image in layers, read from the top down: each is streamed once, and nothing is unpacked to disk.

A hard link names a file of its layer that came before it, whose bytes have passed by then. Where such a link
is wanted, its layer is streamed once more.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from pipeline.adapters.image_files.contents import Contents
from pipeline.adapters.image_files.limits import MAX_FILE_BYTES, BrokenError, Meter
from pipeline.adapters.image_files.nodes import Node, Unreadable, everywhere
from pipeline.adapters.image_files.overlay import Overlay
from pipeline.adapters.image_files.spool import Spool
from pipeline.adapters.image_files.stream import checked, prefetch, unpacked
from pipeline.adapters.image_files.tar import TarStream, entries
from pipeline.model.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from pipeline.adapters.image_files.contents import LayerEntry
    from pipeline.adapters.image_files.nodes import Content, Layer
    from pipeline.adapters.image_files.tar import Entry
    from pipeline.formats.image_config import ImageConfig
    from pipeline.model import Digest

UNNAMED_MODE = 0o755
"""Of a folder that no layer names: engines make it so."""


@dataclass(frozen=True)
class Blob:
    """Where the bytes of a layer come from, as packed, and what they must be; ``size`` is in bytes.

    What ``open`` gives is read and closed in the thread that opened it.
    """

    digest: Digest
    size: int
    open: Callable[[], AbstractContextManager[Iterator[bytes]]]

    @contextmanager
    def unpacked(self, meter: Meter) -> Generator[Iterator[bytes]]:
        """The layer while the block lasts, hashed and unpacked, by a thread each. Raises BrokenError."""
        same, plain = partial(checked, digest=self.digest, size=self.size), partial(unpacked, meter=meter)
        with self.open() as packed, prefetch(packed, same) as ready, prefetch(ready, plain) as chunks:
            yield chunks


class Layered:
    """A :class:`FileSystem` of layers, the lowest first. ``close`` ends what the blobs are read from."""

    def __init__(
        self,
        name: str,
        digest: str,
        config: ImageConfig,
        layers: Sequence[tuple[Layer, Blob]],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.digest = digest
        self.config = config
        self.layers = tuple(layer for layer, _ in layers)
        self.blobs = tuple(blob for _, blob in layers)
        self._close = close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def lower(self, count: int) -> Layered:
        """The same image without what stands above its lowest layers; its blobs are this one's to close."""
        layers = tuple(zip(self.layers, self.blobs, strict=True))[:count]
        return Layered(f"the lowest {count} layers of {self.name}", "", self.config, layers)

    def walk(
        self,
        wants: Callable[[Node], bool],
        enters: Callable[[str], bool] = everywhere,  # noqa: ARG002 - a layer is streamed whole
    ) -> Generator[tuple[Node, Content]]:
        """See :class:`FileSystem`."""
        with Spool() as spool:
            walk = _Walk(wants, spool)
            for number in reversed(range(len(self.blobs))):
                with self._map_errors(number):
                    yield from walk.layer(number, self.blobs[number])
            yield from walk.rest()

    @contextmanager
    def _map_errors(self, number: int) -> Generator[None]:
        try:
            yield
        except (BrokenError, OSError) as error:
            where = f"layer {number + 1} of {len(self.layers)} ({self.layers[number].digest})"
            why = getattr(error, "strerror", None) or error
            raise ImageError(
                f"{self.name}: {where} cannot be read: {why}",
                hint="build or pull it again; if it is not yours, do not trust it before this is explained",
            ) from error


class _Walk:
    """One walk through all layers, from the top down."""

    def __init__(self, wants: Callable[[Node], bool], spool: Spool) -> None:
        self._wants = wants
        self._spool = spool
        self._meter = Meter()
        self._overlay = Overlay()

    def layer(self, number: int, blob: Blob) -> Iterator[tuple[Node, Content]]:
        """What this layer shows."""
        contents = Contents(number, self._meter)
        with self._opened(blob) as stream:
            for ordinal, entry in enumerate(entries(stream, self._meter)):
                held = contents.add(entry, ordinal)
                if held and entry.kind == "file" and self._is_visible(held.node) and self._wants(held.node):
                    held.is_yielded = True
                    yield from self._contents([held.node], entry, stream)
        again: defaultdict[int, list[Node]] = defaultdict(list)
        for held in self._left(contents):
            if held.is_hard_link and held.node.kind == "file" and self._wants(held.node):
                again[held.ordinal].append(held.node)
            else:
                yield held.node, None
        if again:
            yield from self._again(blob, again)

    def rest(self) -> Iterator[tuple[Node, Content]]:
        """What is left when all layers are read: the folders that none of them names."""
        for path, layer in self._overlay.unnamed():
            yield Node(path, "directory", UNNAMED_MODE, 0, 0, 0, layer), None

    def _left(self, contents: Contents) -> Iterator[LayerEntry]:
        """The visible nodes of this layer that were not yielded yet; with them, the layer is over."""
        for held in contents.entries.values():
            if not self._is_visible(held.node):
                continue
            self._overlay.show(held.node.path)
            if not held.is_yielded:
                yield held
        for folder in contents.folders:
            self._overlay.imply(folder, contents.number)
        self._overlay.end_layer(contents.removed(), contents.opaque)

    def _again(self, blob: Blob, nodes: Mapping[int, list[Node]]) -> Iterator[tuple[Node, Content]]:
        """Stream the layer once more, for the files that hard links are."""
        with self._opened(blob) as stream:
            for ordinal, entry in enumerate(entries(stream, Meter())):
                if ordinal in nodes:
                    yield from self._contents(nodes[ordinal], entry, stream)

    def _contents(
        self, nodes: Sequence[Node], entry: Entry, stream: TarStream
    ) -> Iterator[tuple[Node, Content]]:
        """The nodes that one entry is, with its bytes where they can be had."""
        why = (
            "it is sparse"
            if entry.sparse
            else f"it has {entry.size} bytes"
            if entry.size > MAX_FILE_BYTES
            else ""
        )
        if why:
            yield from ((node, Unreadable(f"{why}, and is not read")) for node in nodes)
            return
        with self._spool.hold(stream.parts(entry.size), entry.size) as view:
            yield from ((node, view) for node in nodes)

    def _is_visible(self, node: Node) -> bool:
        return self._overlay.shows(node.path, folder=node.kind == "directory")

    @contextmanager
    def _opened(self, blob: Blob) -> Generator[TarStream]:
        with blob.unpacked(self._meter) as chunks:
            yield TarStream(chunks)
