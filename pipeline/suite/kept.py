"""What is known of servers when a deadline has passed, kept in a folder beside their log before they end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.adapters import files, stacks
from pipeline.suite.expect import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.suite.live_server import LiveServer

SECONDS = 20.0
"""The most that keeping takes, whatever the servers, the engine and the kernel do."""
_METRICS_SECONDS = 3.0
_LOG_SECONDS = 5.0
_MAX_LENGTH = 4 << 20
"""Of each part, in characters: a server may write what it likes."""


def folder_of(log: Path) -> Path:
    """Where a trial keeps: a folder for each check whose deadline has passed."""
    return log.with_suffix(".kept")


class Keeper:
    """Keeps what is known of the servers of one trial; ``check`` is the one that runs now."""

    def __init__(self, log: Path) -> None:
        self._root = folder_of(log)
        self.check = ""
        self._kept: set[tuple[str, str]] = set()

    def keep(self, servers: Mapping[str, LiveServer]) -> None:
        """Keep what is known of each of these servers that runs, once for each check.

        Raises nothing that is no interruption, and takes at most ``SECONDS``: a part that cannot be had in
        time says so in its place.
        """
        deadline = time.monotonic() + SECONDS
        for name, server in servers.items():
            if (self.check, name) not in self._kept and _runs(server, _left(deadline)):
                self._kept.add((self.check, name))
                self._keep(name, server, deadline)

    @property
    def place(self) -> str:
        """The folder of this check, from that of the log; empty where nothing was kept."""
        has_kept = any(check == self.check for check, _ in self._kept)
        return f"{self._root.name}/{self.check}" if has_kept else ""

    def _keep(self, name: str, server: LiveServer, deadline: float) -> None:
        parts: dict[str, tuple[float, Callable[[], str]]] = {
            "stacks": (SECONDS, lambda: stacks.of_processes(server.server.pids_here(), SECONDS / 2)),
            "metrics": (_METRICS_SECONDS, lambda: server.metrics(_METRICS_SECONDS)),
            "log": (_LOG_SECONDS, server.server.log),
        }
        for part, (seconds, look) in parts.items():
            text = _text(min(seconds, _left(deadline)), look)
            _write(self._root, self.check, f"{name}.{part}.txt", text)


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _runs(server: LiveServer, seconds: float) -> bool:
    """Whether it runs, as far as that can be found out."""
    try:
        return Task(server.server.ended).result(seconds, "its state") is None
    except Exception:  # noqa: BLE001 - an engine that hangs says nothing of the server
        return True


def _text(seconds: float, look: Callable[[], str]) -> str:
    try:
        return Task(look).result(seconds, "an answer")[:_MAX_LENGTH]
    except Exception as error:  # noqa: BLE001 - whatever went wrong says something, and must change no outcome
        return f"not there: {type(error).__name__}: {error}\n"


def _write(root: Path, check: str, name: str, text: str) -> None:
    try:
        files.write(files.folder(root.parent, root.name, check) / name, text.encode(errors="replace"))
    except Exception:  # noqa: BLE001 - a full disk, a link in its place: what is kept decides nothing
        return
