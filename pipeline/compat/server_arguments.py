"""The arguments that every server of ours starts with, by what its vLLM knows, and how to read such words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.model import Cell

SHUTDOWN_TIMEOUT = "--shutdown-timeout"
DRAIN_SECONDS = 20
"""How long a server finishes what it has accepted once it is asked to end.

Less than the 30 s that Kubernetes gives by default (terminationGracePeriodSeconds); `docker stop` gives 10.
"""
_WITH_SHUTDOWN_TIMEOUT = Version("0.18.0")
"""vllm/engine/arg_utils.py has the argument from there on; without it, or with 0, streams are cut off."""


def defaults(cell: Cell, gpu_memory: float) -> tuple[str, ...]:
    """The words; those of the matrix and of whoever starts the server come after them, and win.

    ``gpu_memory`` is the share of a GPU's memory that the server takes.
    """
    drains = cell.vllm is not None and Version(cell.vllm) >= _WITH_SHUTDOWN_TIMEOUT
    return (
        *((SHUTDOWN_TIMEOUT, str(DRAIN_SECONDS)) if drains else ()),
        *(("--gpu-memory-utilization", f"{gpu_memory:g}") if cell.needs_gpu else ()),
    )


def value_of(name: str, words: Sequence[str]) -> str | None:
    """What the last of these words gives an argument, as ``--name value`` or ``--name=value``.

    None if none does.
    """
    found = None
    for index, word in enumerate(words):
        if word == name and index + 1 < len(words):
            found = words[index + 1]
        elif word.startswith(f"{name}="):
            found = word.removeprefix(f"{name}=")
    return found
