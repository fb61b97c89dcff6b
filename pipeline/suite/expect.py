"""Comparisons for checks, and deadlines: each failure has what was expected and what was seen."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
_MAX_LENGTH = 1500


class Mismatch(AssertionError):  # noqa: N818 - it is the result of a check, not an error of ours
    """The actual value is not the expected one; both are short texts."""

    def __init__(self, expected: str, actual: str) -> None:
        self.expected = brief(expected)
        self.actual = brief(actual)
        super().__init__(f"expected {self.expected}; saw {self.actual}")


class Late(Mismatch):
    """What was expected had not come when its deadline passed."""


class NotRun(Exception):  # noqa: N818 - it is the result of a check, not an error of ours
    """The check cannot be run on what is tried; ``reason`` is why. It is neither a pass nor a failure."""

    def __init__(self, reason: str) -> None:
        self.reason = brief(reason)
        super().__init__(self.reason)


def brief(text: str) -> str:
    """The text; the middle of a long one is left out."""
    half = _MAX_LENGTH // 2
    return text if len(text) <= _MAX_LENGTH else f"{text[:half]} … {text[-half:]}"


def expect(what: str, expected: object, actual: object) -> None:
    """Raise Mismatch unless both are equal."""
    if expected != actual:
        raise Mismatch(f"{what} {expected}", f"{actual}")


def expect_that(expected: str, holds: bool, actual: object) -> None:
    """Raise Mismatch unless it holds; ``expected`` is the expectation as text."""
    if not holds:
        raise Mismatch(expected, f"{actual}")


def expect_tokens(what: str, expected: Sequence[int], actual: Sequence[int]) -> None:
    """Raise Mismatch at the first token that differs."""
    for index, (token, other) in enumerate(zip(expected, actual, strict=False)):
        if token != other:
            at = f"token {index + 1} of {len(expected)}"
            raise Mismatch(f"{what}: {token} as {at}", f"{other}, in {list(actual)}")
    expect(f"{what}: number of tokens", len(expected), len(actual))


def late(what: str, seconds: float) -> Late:
    """The failure of what was not there when its seconds were over."""
    return Late(f"{what} within {seconds:g} s", "nothing by then")


class Task(Generic[T]):
    """A call in a thread of its own. It may be waited for, but never keeps the process alive."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._outcome: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.append(self._call())
        except BaseException as error:  # noqa: BLE001 - it is raised again with the result
            self._error = error

    def wait(self) -> None:
        """Wait for its end, however it ends."""
        self._thread.join()

    def ended(self) -> bool:
        """Whether it has ended, however it did."""
        return not self._thread.is_alive()

    def result(self, seconds: float, what: str) -> T:
        """What the call returned or raised. Raises Late if it takes longer than these seconds."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise late(what, seconds)
        if self._error is not None:
            raise self._error
        return self._outcome[0]


def within(seconds: float, what: str, call: Callable[[], T]) -> T:
    """Do the call; raise Late if it takes longer than these seconds, whatever it waits for."""
    return Task(call).result(seconds, what)


def poll(seconds: float, look: Callable[[], Any]) -> Any:
    """Look until there is a result, or the seconds are over; return the last result."""
    deadline = time.monotonic() + seconds
    while not (result := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return result
