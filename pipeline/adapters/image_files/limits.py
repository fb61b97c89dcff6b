"""What reading an image may cost. Real images stay far below; what goes beyond is refused, not survived.

One :class:`Meter` counts for one walk through an image, whatever it reads the image from.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_ENTRIES = 2_000_000
"""Headers, compressed members and folders in all layers together. A CUDA environment has 80,000 files."""

MAX_NAME_BYTES = 256 << 20
"""Bytes of all names and link targets together: they stay in memory, and 80,000 of them take 8 MB."""

MAX_HEADER_BYTES = 256 << 20
"""Bytes of all extended headers together. They are read and forgotten, so this bounds time, not memory."""

MAX_ONE_HEADER_BYTES = 1 << 20
"""Bytes of one extended header: as much as Go's archive/tar takes, by which every engine reads layers."""

MAX_PATH_BYTES = 4096
"""Bytes of one path: PATH_MAX of Linux, beyond which no engine could unpack it."""

MAX_DEPTH = 256
"""Folders within folders. Linux has no such limit; the deepest real trees have some forty."""

MAX_UNPACKED_BYTES = 256 << 30
"""Bytes of all layers unpacked. The largest images, with model weights in them, have a third of that."""

MAX_RATIO = 100
"""Times that a layer may grow when unpacked, beyond ``RATIO_FREE_BYTES``: files grow two- to tenfold,
zeros a thousandfold with gzip and thirty-thousandfold with zstd."""

RATIO_FREE_BYTES = 4 << 30
"""Unpacked bytes of a layer that may have any ratio: honest images do hold preallocated files."""

MAX_FILE_BYTES = 8 << 30
"""Bytes of one file whose content is read. The largest libraries have two gigabytes."""


class BrokenError(ValueError):
    """What is wrong with the bytes of an image, told without saying where: the image's reader adds that."""


@dataclass
class Meter:
    """What has been read so far. Each method raises BrokenError where that becomes too much."""

    entries: int = 0
    name_bytes: int = 0
    header_bytes: int = 0
    unpacked_bytes: int = 0

    def entry(self) -> None:
        """One more header, member or folder."""
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise BrokenError(f"more than {MAX_ENTRIES} entries")

    def name(self, text: str) -> None:
        """One more name to keep; one letter beyond ASCII may make four bytes of every letter beside it."""
        self.name_bytes += len(text) if text.isascii() else 4 * len(text)
        if self.name_bytes > MAX_NAME_BYTES:
            raise BrokenError(f"more than {MAX_NAME_BYTES >> 20} MiB of names")

    def header(self, size: int) -> None:
        """One more extended header, before it is read."""
        if size > MAX_ONE_HEADER_BYTES:
            raise BrokenError(f"an extended header of {size} bytes")
        self.header_bytes += size
        if self.header_bytes > MAX_HEADER_BYTES:
            raise BrokenError(f"more than {MAX_HEADER_BYTES >> 20} MiB of extended headers")

    def unpacked(self, more: int, *, layer: int, packed: int) -> None:
        """More unpacked bytes; ``layer`` and ``packed`` are this layer's so far, unpacked and as read."""
        self.unpacked_bytes += more
        if self.unpacked_bytes > MAX_UNPACKED_BYTES:
            raise BrokenError(f"more than {MAX_UNPACKED_BYTES >> 30} GiB when unpacked")
        if layer > RATIO_FREE_BYTES + MAX_RATIO * packed:
            raise BrokenError(f"{packed} bytes that become more than {layer >> 20} MiB when unpacked")
