"""What a program beside a container's wrote, as the engine sends it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct(">BxxxL")
"""Of one frame: which stream it is of, and how many bytes follow (Engine API, ContainerAttach)."""
_STDERR = 2


def outputs_of(body: bytes) -> tuple[str, str]:
    """Standard output and standard error of the frames in an answer.

    Raises ValueError where they are not as the engine's API says.
    """
    written: tuple[list[bytes], list[bytes]] = ([], [])
    for stream, text in _frames(body):
        written[stream == _STDERR].append(text)
    out, err = (b"".join(parts).decode(errors="replace") for parts in written)
    return out, err


def _frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(body):
        if at + _HEADER.size > len(body):
            raise ValueError("an output ends amid the header of a frame")
        stream, size = _HEADER.unpack_from(body, at)
        at += _HEADER.size + size
        if at > len(body):
            raise ValueError("an output ends amid a frame")
        yield stream, body[at - size : at]
