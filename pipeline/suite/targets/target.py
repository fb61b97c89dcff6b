"""What the checks ask of an environment under test: that it runs Python code, and serves a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import httpx2

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

    @property
    def is_sane(self) -> bool:
        """Whether it ended by itself, or as a shell says of what SIGTERM ended."""
        return self.exit_code in (0, 143)


_IDLE_SECONDS = 2.0

Limit = Literal["offline", "any_user", "read_only"]
"""What a server must do without: every network; an entry for its user, who is none that it knows of; a root
that it can write to, but for the places that the target declares."""

LIMITS: frozenset[Limit] = frozenset(get_args(Limit))


def over_network() -> httpx2.HTTPTransport:
    """The way to a server that listens on this machine.

    A connection is given up well before a server does so (uvicorn after 5 s): a request that is sent just as
    the other side closes would fail, and none is sent twice.
    """
    return httpx2.HTTPTransport(limits=httpx2.Limits(keepalive_expiry=_IDLE_SECONDS))


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

    def pids_here(self) -> frozenset[int]:
        """Those of them under which this very machine has them: an engine may be on another."""

    def http(self) -> httpx2.BaseTransport:
        """The way to it: over the network, or from beside it where it has none."""

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source with its Python beside it, for at most these seconds: it sees its processes."""

    def resident_bytes(self) -> int:
        """The memory of this machine that its processes hold, without what can be dropped at any time."""

    def stop(self, seconds: float) -> Stopped:
        """Send SIGTERM, kill what is left after these seconds, and return how it ended."""


class Target(Protocol):
    """An environment under test. ``model`` is the model's path inside it."""

    model: str
    isolates: bool
    """Whether its servers can be kept within limits."""

    def labels(self) -> Mapping[str, str]:
        """Its labels."""

    def lend(self, folder: Path) -> str:
        """Let what is started from now on read this folder of this machine; its path inside."""

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source with its Python, for at most these seconds."""

    def writable(self) -> tuple[str, ...]:
        """The places that it declares to write to."""

    def arguments(self) -> tuple[str, ...]:
        """What its server is started with by default."""

    def serve(self, args: tuple[str, ...], log: Path, *, limits: frozenset[Limit] = frozenset()) -> Server:
        """Start its OpenAI server with these arguments after its default ones; return at once.

        Its log goes into ``log``. What earlier ones left in caches is there. Raises NotRun where it cannot
        be limited like that.
        """

    def close(self) -> None:
        """End all that it started, and clean up. May be called twice."""
