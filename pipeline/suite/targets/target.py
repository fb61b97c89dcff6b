"""What the checks ask of an environment under test: that it runs Python code, and serves a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


NOT_FOUND = 127
"""The exit code of a program that is not there, as a shell has it."""

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
"""Nothing is downloaded and no usage reported; one GiB is enough for the key-value cache of the checks."""


@dataclass(frozen=True)
class Completed:
    """The result of Python code; ``exit_code`` is None if its deadline ended it."""

    exit_code: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Stopped:
    """How a server ended: its exit code (128 + signal if a signal ended it), and processes that are left."""

    exit_code: int
    left: tuple[str, ...]


class Server(Protocol):
    """A server that was started, healthy or not."""

    @property
    def base_url(self) -> str:
        """Its address: ``http://127.0.0.1:…``. Only valid while it runs."""

    def ended(self) -> str | None:
        """None while it runs, else how it ended, as text."""

    def log(self) -> str:
        """The last lines of its log."""

    def pids(self) -> frozenset[int]:
        """The numbers of its processes on this machine; none once it has ended."""

    def stop(self, seconds: float) -> Stopped:
        """Send SIGTERM, kill what is left after these seconds, and return how it ended."""


class Target(Protocol):
    """An environment under test. ``model`` is the model's path inside it."""

    model: str

    def labels(self) -> Mapping[str, str]:
        """Its labels."""

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source with its Python, for at most these seconds."""

    def serve(self, args: tuple[str, ...], log: Path | None = None) -> Server:
        """Start its OpenAI server with these arguments; return at once.

        Its log goes into ``log``, or into the target's own.
        """

    def close(self) -> None:
        """End all that it started, and clean up. May be called twice."""
