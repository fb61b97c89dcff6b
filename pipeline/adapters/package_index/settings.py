"""Which index the user has set, and whose certificates are believed: by uv's settings, and by pip's."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_SECTIONS = ("global", "install", ":env:")
"""Of pip's configuration; the last one wins."""

_SECONDS = 60


def endpoint(pip: Mapping[str, str]) -> str:
    """The index that the user has set, uv's settings first as where a lock is made, else the default."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 - its imports take 0.4 s

    given = next((url for name in _NAMES if (url := os.environ.get(name))), None)
    return (given or pip.get("index-url") or PYPI_SIMPLE_ENDPOINT).rstrip("/")


def certificates(pip: Mapping[str, str]) -> str | None:
    """The file of certificates that pip is set up with; None where it is not."""
    return os.environ.get("PIP_CERT") or pip.get("cert")


def of_pip() -> dict[str, str]:
    """What pip's own configuration says, for installing and in general; nothing where there is no pip."""
    command = (sys.executable, "-m", "pip", "config", "list")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return said(done.stdout)


def said(listed: str) -> dict[str, str]:
    """What a list of ``section.name='value'`` says of the index and of certificates."""
    settings = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    options = {}
    for section in _SECTIONS:
        for name in ("index-url", "cert"):
            if (text := settings.get(f"{section}.{name}")) and (value := _text(text)):
                options[name] = value
    return options


def _text(literal: str) -> str:
    """What a Python literal holds; nothing where it is none."""
    try:
        return str(ast.literal_eval(literal))
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return ""
