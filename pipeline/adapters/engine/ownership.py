"""Which process a container belongs to, so that none outlives its owner for good.

Every container that we start carries two labels: the run that it belongs to, and the process that owns it.
``Engine.reap`` removes what a run made, and what a process made that is no longer alive.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from pipeline.formats.numbers import whole
from pipeline.model import PROJECT

OWNER_LABEL = f"{PROJECT}.owner"
"""``<pid>:<start time of the process>:<host name>`` of the process that started a container."""


def owner() -> str:
    """Name this process as ``OWNER_LABEL`` does."""
    return f"{os.getpid()}:{_started(os.getpid())}:{socket.gethostname()}"


def is_orphan(label: str) -> bool:
    """Whether the process that this label names ran on this host and is dead. Unreadable: not ours to say."""
    number, _, rest = label.partition(":")
    started, _, host = rest.partition(":")
    pid = whole(number)
    return pid is not None and host == socket.gethostname() and _started(pid) != started


def _started(pid: int) -> str:
    """When a process started, as its kernel counts; ``alive`` where it does not say; empty for a dead one."""
    if not Path("/proc/self/stat").exists():
        return "alive" if _is_alive(pid) else ""
    with suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if after_name[0] == "Z" else after_name[19]
    return ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
