"""The folders of this user on this machine, by the XDG base directory specification."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.model import PROJECT


def _folder(variable: str, default: str) -> Path:
    """The folder that this variable names; the specification has a relative one ignored."""
    named = os.environ.get(variable, "")
    return (Path(named) if named.startswith("/") else Path.home() / default) / PROJECT


def registries() -> Path:
    """What the registries on this machine store: a folder for each address that one listens at."""
    return _folder("XDG_DATA_HOME", ".local/share") / "registry"


def wheels() -> Path:
    """The cache of wheels that all cells share."""
    return _folder("XDG_CACHE_HOME", ".cache") / "wheels"


def models() -> Path:
    """The cache of the test models that this project writes itself."""
    return _folder("XDG_CACHE_HOME", ".cache") / "models"


def facts() -> Path:
    """What a refresh has read of artefacts so far, so that one that was cut short goes on from there."""
    return _folder("XDG_CACHE_HOME", ".cache") / "facts"
