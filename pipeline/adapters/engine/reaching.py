"""Whether something listens where an engine should, told apart before any client is loaded."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Literal

from pipeline.adapters import files

Trouble = Literal["nothing", "absent", "closed", "silent"]
"""``nothing`` is wrong; there is no socket; it may not be opened by this user; nobody listens on it."""

DEFAULT = "unix:///var/run/docker.sock"
"""Where Docker's client looks for an engine that nobody names."""

MAX_CONFIG_BYTES = 1 << 20
"""Of Docker's own configuration."""

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


def context() -> str:
    """The context that the ``docker`` command uses, where that is not the default one; else nothing.

    Docker's client library knows no contexts, so the command may speak with another engine than we do.
    """
    if os.environ.get("DOCKER_HOST"):
        return ""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    named = os.environ.get("DOCKER_CONTEXT") or _current(folder / "config.json")
    return "" if named == "default" else named


def _current(file: Path) -> str:
    """The context that Docker's configuration names; nothing where it cannot be read."""
    try:
        return str(json.loads(files.read(file, MAX_CONFIG_BYTES)).get("currentContext") or "")
    except (OSError, ValueError, RecursionError, AttributeError):
        return ""


def others() -> tuple[str, ...]:
    """The sockets of engines that this user runs without root: Podman's, and Docker's own."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    sockets = (runtime / "docker.sock", runtime / "podman" / "podman.sock")
    return tuple(f"unix://{path}" for path in sockets if path.exists())
