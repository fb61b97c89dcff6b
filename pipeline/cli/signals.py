"""Ctrl-C and SIGTERM: the work stops, and what it started is ended in peace."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def interrupt_on_signals() -> None:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt, once: a second one does not disturb the clean-up."""
    _handle_with(_interrupt)


def _handle_with(handler: Callable[[int, FrameType | None], None]) -> None:
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    _handle_with(_ask_for_patience)
    raise KeyboardInterrupt


def _ask_for_patience(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, b"ending what was started; this takes some seconds\n")
