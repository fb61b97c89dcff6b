"""The progress of the work: live lines on a terminal, plain lines anywhere else.

All of it goes to stderr; stdout is for data. The plain lines hold no times of day, so that two runs
can be compared. A ProgressReporter may be called from several threads.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from pipeline.formats.units import size
from pipeline.model import shown_lines
from pipeline.report.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from pipeline.model import Goal, Stage

_PLAIN_STEP = 10
"""Per cent between two plain lines on a download."""


class Bytes(Protocol):
    """A download under way."""

    def advance(self, amount: int) -> None:
        """So many bytes more have arrived."""


class ProgressReporter:
    """Shows the stages of each cell and the bytes of downloads; use it as a context manager."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._backend: _Plain | _Live = _Live(self._stream) if self._stream.isatty() else _Plain(self._stream)

    def __enter__(self) -> Self:
        self._backend.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._backend.stop()

    def stage(self, cell_id: str, stage: Stage | Goal) -> None:
        """The cell enters this stage."""
        self._backend.stage(cell_id, stage)

    def note(self, cell_id: str, text: str) -> None:
        """Something worth a line of its own, about this cell; about all where the id is empty."""
        self._backend.note(cell_id, shown_lines(printable(text)))

    def done(self, cell_id: str, stage: Stage | Goal, seconds: float, text: str = "") -> None:
        """The cell has left this stage, after so many seconds."""
        took = f"{stage} took {seconds:.1f} s"
        self._backend.done(cell_id, f"{took}: {shown_lines(printable(text))}" if text else took)

    @contextmanager
    def timed(self, cell_id: str, stage: Stage | Goal) -> Iterator[Callable[[], float]]:
        """The cell is in this stage, and leaves it with the block; the value gives the seconds so far."""
        self.stage(cell_id, stage)
        start = time.monotonic()
        yield lambda: time.monotonic() - start
        self.done(cell_id, stage, time.monotonic() - start)

    @contextmanager
    def bytes(self, total: int, what: str = "fetch") -> Iterator[Bytes]:
        """A download of so many bytes; call its ``advance(n)`` as they arrive."""
        with self._backend.bytes(total, what) as download:
            yield download


def _about(cell_id: str, text: str) -> str:
    return f"{cell_id}: {text}" if cell_id else text


class _Plain:
    """Whole lines, one for each event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def start(self) -> None:
        """Nothing to prepare."""

    def stop(self) -> None:
        """Nothing to clear."""

    def stage(self, cell_id: str, stage: Stage | Goal) -> None:
        self._write_line(_about(cell_id, str(stage)))

    def note(self, cell_id: str, text: str) -> None:
        for line in text.splitlines():
            self._write_line(_about(cell_id, line))

    def done(self, cell_id: str, text: str) -> None:
        self.note(cell_id, text)

    @contextmanager
    def bytes(self, total: int, what: str) -> Iterator[Bytes]:
        yield _PlainBytes(total, what, self._write_line)

    def _write_line(self, line: str) -> None:
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()


class _PlainBytes:
    """A line for each tenth of a download."""

    def __init__(self, total: int, what: str, write_line: Callable[[str], None]) -> None:
        self._total, self._what, self._write_line = total, what, write_line
        self._arrived = self._shown = 0
        self._lock = threading.Lock()

    def advance(self, amount: int) -> None:
        with self._lock:
            self._arrived += amount
            percent = 100 * self._arrived // self._total if self._total else 100
            step = min(100, percent) // _PLAIN_STEP * _PLAIN_STEP
            if step > self._shown:
                self._shown = step
                self._write_line(f"{self._what}: {step} % of {size(self._total)}")


class _Live:
    """One line for each cell at work, with its stage and how long it has been in it; bars for downloads."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console, Group  # noqa: PLC0415 - loaded only where there is a terminal
        from rich.live import Live  # noqa: PLC0415
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            DownloadColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(file=stream)
        description = TextColumn("{task.description}", markup=False)
        columns = (description, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._cells = Progress(SpinnerColumn(), description, TimeElapsedColumn(), console=console)
        self._bars = Progress(*columns, console=console)
        both = Group(self._cells, self._bars)
        self._live = Live(both, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._lines: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def stage(self, cell_id: str, stage: Stage | Goal) -> None:
        with self._lock:
            self._clear(cell_id)
            self._lines[cell_id] = self._cells.add_task(_about(cell_id, str(stage)), total=None)

    def note(self, cell_id: str, text: str) -> None:
        self._live.console.print(_about(cell_id, text), markup=False, highlight=False, soft_wrap=True)

    def done(self, cell_id: str, text: str) -> None:
        with self._lock:
            self._clear(cell_id)
        self.note(cell_id, text)

    @contextmanager
    def bytes(self, total: int, what: str) -> Iterator[Bytes]:
        task = self._bars.add_task(what, total=total)
        try:
            yield _LiveBytes(self._bars, task)
        finally:
            self._bars.remove_task(task)

    def _clear(self, cell_id: str) -> None:
        line = self._lines.pop(cell_id, None)
        if line is not None:
            self._cells.remove_task(line)


class _LiveBytes:
    """A bar."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, amount: int) -> None:
        self._bars.advance(self._task, amount)
