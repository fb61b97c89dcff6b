"""How long a request may take in all, however slowly it goes on."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpcore

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE_SECONDS = 60.0
"""For a request without its body: connecting, a registry that is busy, and its answer."""

MIN_BYTES_PER_SECOND = 128 << 10
"""Of a body, on average. At this rate, that of a poor line, 8 GB take 18 hours."""

IDLE_SECONDS = 300.0
"""In which a byte must move: a registry may take minutes to put the parts of a large upload together."""

CONNECT_SECONDS = 10.0
"""For one address of a host."""

LIST_SECONDS = 300.0
"""For all pages of one list."""


class Bounds:
    """How long each request may take, without its body, and how long all of them together, from now on."""

    def __init__(self, request: float | None = None, total: float = math.inf) -> None:
        self._request = request
        self._end = time.monotonic() + total

    @property
    def left(self) -> float:
        """Seconds until all must have ended; none where they are over."""
        return max(0.0, self._end - time.monotonic())

    def deadline(self) -> Deadline:
        """That of a request which begins now."""
        return Deadline(min(BASE_SECONDS if self._request is None else self._request, self.left))


class Deadline:
    """When a request must have ended: some seconds after it began, and later for each byte of its body.

    Only bytes of a body count, which is bounded, so that no request lasts for ever.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._given = BASE_SECONDS if seconds is None else seconds
        self._end = time.monotonic() + self._given

    def moved(self, count: int) -> None:
        """So many bytes of the body were sent or have come."""
        self._end += count / MIN_BYTES_PER_SECOND

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done while the block lasts is not the other side's time."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._end += time.monotonic() - began

    def left(self, at_most: float = IDLE_SECONDS) -> float:
        """Seconds, more than none. Raises httpcore.TimeoutException where the time is over."""
        left = self._end - time.monotonic()
        if left > 0:
            return min(left, at_most)
        raise httpcore.TimeoutException(
            f"it took more than {self._given:.0f} s, and a second for each {MIN_BYTES_PER_SECOND >> 10} KiB"
        )
