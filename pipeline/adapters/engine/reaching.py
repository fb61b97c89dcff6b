"""Whether something listens where an engine should, told apart before any client is loaded."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Literal

Trouble = Literal["nothing", "absent", "closed", "silent"]
"""``nothing`` is wrong; there is no socket; it may not be opened by this user; nobody listens on it."""

DEFAULT = "unix:///var/run/docker.sock"
"""Where Docker's client looks for an engine that nobody names."""

_SECONDS = 2.0


def address() -> str:
    """The engine that the environment names, or this machine's."""
    return os.environ.get("DOCKER_HOST") or DEFAULT


def trouble(at: str) -> Trouble:
    """What keeps us from the socket of an address; ``nothing`` also where that is none of this machine."""
    if not at.startswith("unix://"):
        return "nothing"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SECONDS)
        try:
            client.connect(at.removeprefix("unix://"))
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        except PermissionError:
            return "closed"
        except TimeoutError:  # it listens, and is slow: its client will find out more
            return "nothing"
        except OSError:
            return "silent"
    return "nothing"


def others() -> tuple[str, ...]:
    """The sockets of engines that this user runs without root: Podman's, and Docker's own."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    sockets = (runtime / "docker.sock", runtime / "podman" / "podman.sock")
    return tuple(f"unix://{path}" for path in sockets if path.exists())
