"""How a check says what it expected and what it saw."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
_LONGEST = 1500


class Mismatch(AssertionError):  # noqa: N818 - it names what a check found, and is no fault of ours
    """What was seen is not what was expected; both are short texts."""

    def __init__(self, expected: str, seen: str) -> None:
        self.expected = brief(expected)
        self.seen = brief(seen)
        super().__init__(f"expected {self.expected}; saw {self.seen}")


def brief(text: str) -> str:
    """The text, its middle left out where it is long."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} … {text[-half:]}"


def expect(what: str, expected: object, seen: object) -> None:
    """Raise Mismatch unless both are equal."""
    if expected != seen:
        raise Mismatch(f"{what} {expected}", f"{seen}")


def expect_that(expected: str, holds: bool, seen: object) -> None:
    """Raise Mismatch unless it holds; ``expected`` says in words what should."""
    if not holds:
        raise Mismatch(expected, f"{seen}")


def expect_tokens(what: str, expected: Sequence[int], seen: Sequence[int]) -> None:
    """Raise Mismatch at the first token that differs."""
    for index, (wanted, got) in enumerate(zip(expected, seen, strict=False)):
        if wanted != got:
            at = f"token {index + 1} of {len(expected)}"
            raise Mismatch(f"{what}: {wanted} as {at}", f"{got}, in {list(seen)}")
    expect(f"{what}: number of tokens", len(expected), len(seen))


class Task(Generic[T]):
    """A call that runs beside us. It may be waited for, but never keeps the process alive."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._outcome: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.append(self._call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._error = error

    def wait(self) -> None:
        """Wait for its end, however it ends."""
        self._thread.join()

    def result(self, seconds: float, what: str) -> T:
        """What the call returned or raised. Raises Mismatch where it takes longer than these seconds."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise Mismatch(f"{what} within {seconds:g} s", "nothing by then")
        if self._error is not None:
            raise self._error
        return self._outcome[0]


def within(seconds: float, what: str, call: Callable[[], T]) -> T:
    """Do the call; raise Mismatch when it takes longer than these seconds, whatever it waits for."""
    return Task(call).result(seconds, what)


def poll(seconds: float, look: Callable[[], Any]) -> Any:
    """Look until there is something to see, or the seconds are over; return what was seen last."""
    deadline = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen
