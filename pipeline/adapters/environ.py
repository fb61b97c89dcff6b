"""The environment of this process: what is taken out of it, and what of it a program that we start gets.

A program gets what is named here for it and nothing else, so that a secret of the user, or of a CI job,
reaches nobody whom it does not concern; least of all an environment under test, which is a stranger's code.
"""

from __future__ import annotations

import ctypes
import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pipeline.model import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KEY = f"{PROJECT.upper()}_KEY"
"""The variable with the private key's PEM."""

SYSTEM = ("PATH", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LC_*", "USER", "LOGNAME")
"""For every program: where it finds others, puts what it writes for a moment, and how it writes."""

HOME = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
"""For a program that has settings of this user to read."""

NETWORK = (
    *(f"{scheme}_proxy" for scheme in ("http", "https", "all", "no")),
    *(f"{scheme}_PROXY" for scheme in ("HTTP", "HTTPS", "ALL", "NO")),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
)
"""For a program that asks other machines: proxies, which may hold a password, and whom to believe."""

LOGINS = (
    *("AWS_*", "AZURE_*", "GOOGLE_*", "CLOUDSDK_*"),
    *("NETRC", "GNUPGHOME", "PASSWORD_STORE_DIR", "DBUS_SESSION_BUS_ADDRESS"),
)
"""For a program that logs in to a registry or an index: the helpers it asks for that read these."""

ENGINE = (
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "DOCKER_API_VERSION"),
    *("DOCKER_CERT_PATH", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "SSH_AUTH_SOCK"),
    *("BUILDX_BUILDER", "BUILDX_CONFIG", "BUILDKIT_HOST", "KUBECONFIG"),
)
"""For a client of the container engine or of BuildKit: which one, and how it is reached."""

MODELS = ("HF_HOME", "HF_HUB_CACHE")
"""For the suite: where downloaded models lie."""

LEASES = (f"{PROJECT.upper()}_LEASES",)
"""For the suite: where this machine's leases lie, if not where they do by default."""

DEVICES = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "CC", "CXX", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
)
"""For an environment on this machine: its GPUs, libraries and compiler, which an image brings itself."""


def of(*kinds: Iterable[str]) -> dict[str, str]:
    """Our variables of these kinds, and those of the system; a kind is names, or patterns of names."""
    names = [name for kind in (SYSTEM, *kinds) for name in kind]
    return {
        name: value
        for name, value in os.environ.items()
        if any(fnmatchcase(name, pattern) for pattern in names)
    }


def is_ci() -> bool:
    """Whether this is a job of continuous integration, whose machine is gone afterwards (variable ``CI``)."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def under_test(python: Path, home: Path) -> dict[str, str]:
    """What an environment on this machine is tried with: its own folder first on PATH, another home.

    Nothing of the user's leads its Python elsewhere, and no cache of the user's is warm. What it leaves among
    temporary files, as vLLM does its sockets, lies in that home too, and is gone with it.
    """
    path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return of(DEVICES) | {"HOME": str(home), "TMPDIR": str(home), "PATH": path}


def take(name: str) -> str | None:
    """The value of a variable, which is gone afterwards; None where it is not set.

    It is gone from what ``/proc/<pid>/environ`` shows too: that is the memory which the process was
    started with, any process of the same user may read it, and removing a variable leaves it as it was.
    """
    value = os.environ.get(name)
    if value is not None:
        _blot(name)
        del os.environ[name]
    return value


def _blot(name: str) -> None:
    """Overwrite the text of a variable where the C library has it."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype, getenv.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    if place := getenv(os.fsencode(name)):
        ctypes.memset(place, 0, len(ctypes.string_at(place)))
