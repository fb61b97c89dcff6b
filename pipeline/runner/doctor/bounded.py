"""Looks at things that may hang, at once and each for so many seconds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class LateError(Exception):
    """A look that did not end in its time; what it waits for is left alone."""


@dataclass
class Look(Generic[T]):
    """A look that was begun in a thread of its own, which keeps no process alive: it may never come back."""

    what: Callable[[], T]
    seconds: float
    _began: float = field(default_factory=time.monotonic)
    _result: list[T] = field(default_factory=list)
    _error: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def result(self) -> T:
        """What it saw. Raises LateError where it is not over in its time, and whatever the look raised."""
        self._thread.join(max(0.0, self._began + self.seconds - time.monotonic()))
        if self._error:
            raise self._error[0]
        if not self._result:
            raise LateError
        return self._result[0]

    def _look(self) -> None:
        try:
            self._result.append(self.what())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._error.append(error)
