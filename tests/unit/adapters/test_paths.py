"""Where this user's files lie: a contract, for a key that is missed is made anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pipeline.adapters import paths

if TYPE_CHECKING:
    from collections.abc import Callable


class Folder(NamedTuple):
    """A place, the variable that names the folder above it, its default in the home, its name there."""

    place: Callable[[], Path]
    variable: str
    default: str
    name: str


FOLDERS = [
    Folder(paths.signing_key, "XDG_CONFIG_HOME", ".config", "tagproof/signing.pem"),
    Folder(paths.registries, "XDG_DATA_HOME", ".local/share", "tagproof/registry"),
    Folder(paths.wheels, "XDG_CACHE_HOME", ".cache", "tagproof/wheels"),
    Folder(paths.models, "XDG_CACHE_HOME", ".cache", "tagproof/models"),
    Folder(paths.facts, "XDG_CACHE_HOME", ".cache", "tagproof/facts"),
]


@pytest.mark.parametrize("of", FOLDERS, ids=lambda of: of.place.__name__)
def test_a_variable_names_the_folder(of: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(of.variable, str(tmp_path / "mine"))
    assert of.place() == tmp_path / "mine" / of.name
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("value", [None, "", "relative", "./x"])
@pytest.mark.parametrize("of", FOLDERS, ids=lambda of: of.place.__name__)
def test_without_an_absolute_one_it_is_in_the_home(
    of: Folder, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(of.variable, raising=False)
    if value is not None:
        monkeypatch.setenv(of.variable, value)
    assert of.place() == Path.home() / of.default / of.name
