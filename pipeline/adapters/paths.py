"""The folders of this user on this machine, by the XDG base directory specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platformdirs.unix import Unix

from pipeline.model import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

_USER = Unix(PROJECT)
"""On macOS too: a key that is not where it was is made anew."""


def signing_key() -> Path:
    """The private key of this user; the public key lies in the same folder, ending in ``.pub``."""
    return _USER.user_config_path / "signing.pem"


def registries() -> Path:
    """What the registries on this machine store: a folder for each address that one listens at."""
    return _USER.user_data_path / "registry"


def wheels() -> Path:
    """The cache of wheels that all cells share."""
    return _USER.user_cache_path / "wheels"


def models() -> Path:
    """The cache of the test models that this project writes itself."""
    return _USER.user_cache_path / "models"


def facts() -> Path:
    """What a refresh has read of artefacts so far, so that one that was cut short goes on from there."""
    return _USER.user_cache_path / "facts"
