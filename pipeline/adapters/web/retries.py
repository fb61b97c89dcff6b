"""Which failures of a request another try may not meet, and how often and after what pauses it is tried."""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

T = TypeVar("T")

TRANSIENT: Mapping[int, str] = {
    408: "the request came too slowly",
    425: "the server does not yet take what might be sent twice",
    429: "too many requests",
    499: "a proxy before the server lost the connection",
    500: "the server stumbled, as one does over two writes at once",
    502: "the server behind a gateway is starting, or broke off",
    503: "the server is starting, or has too much to do",
    504: "the server behind a gateway was too slow",
    522: "the server behind a content delivery network was too slow",
}
"""The statuses that may pass, and what they mean. All others are the server's last word."""

MAX_PAUSE_SECONDS = 8.0


class TransientError(Exception):
    """A failure that another try may not meet; ``what`` and ``hint`` say it if all do.

    The server asks for ``retry_after`` seconds of pause, where it asks at all. ``max_attempts`` is for a
    failure that is given up sooner than the policy would.
    """

    def __init__(
        self, what: str, *, hint: str = "", retry_after: float | None = None, max_attempts: int | None = None
    ) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint
        self.retry_after, self.max_attempts = retry_after, max_attempts


@dataclass(frozen=True)
class RetryPolicy:
    """How long a request is tried again: no new try begins after so many seconds, or so many attempts.

    The pauses double, from about ``first_pause`` seconds on, and are jittered, so that clients that failed at
    the same moment do not come back at the same moment.
    """

    seconds: float
    attempts: int = 1000
    first_pause: float = 0.2

    def run(self, operation: Callable[[], T]) -> T:
        """The operation's result. Raises its last TransientError where no try succeeds."""
        attempt, began = 1, time.monotonic()
        while True:
            try:
                return operation()
            except TransientError as error:
                pause = self.pause(attempt, time.monotonic() - began, error)
                if pause is None:
                    raise
            time.sleep(pause)
            attempt += 1

    async def run_async(self, operation: Callable[[], Awaitable[T]]) -> T:
        """As ``run``, for an operation that is awaited; the pauses are awaited too."""
        attempt, began = 1, time.monotonic()
        while True:
            try:
                return await operation()
            except TransientError as error:
                pause = self.pause(attempt, time.monotonic() - began, error)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            attempt += 1

    def pause(self, attempt: int, elapsed: float, error: TransientError) -> float | None:
        """Seconds until the next attempt; None where there is none.

        ``attempt`` is the number of the one that failed, from 1; ``elapsed`` are the seconds since the first.
        """
        doubled = min(MAX_PAUSE_SECONDS, self.first_pause * 2 ** min(attempt - 1, 10))
        jittered = doubled * random.uniform(0.5, 1)  # noqa: S311 - jitter is no secret
        pause = jittered if error.retry_after is None else error.retry_after + jittered / 10
        is_last = attempt >= min(self.attempts, error.max_attempts or self.attempts)
        return None if is_last or elapsed + pause > self.seconds else pause


DOWNLOADS = RetryPolicy(seconds=300, attempts=4, first_pause=2)
"""For files on the Internet: a failure there takes seconds to pass, and one that does not is told soon."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that Retry-After names; None for a date or anything else. Names are in lower case."""
    text = headers.get("retry-after", "")
    return float(text) if re.fullmatch(r"\s*[0-9]+\s*", text, re.ASCII) else None
