"""Servers that answer as told, and a stored login for one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.raw_server import RawServer, raw_server
from tests.system.adapters.registry.logins import store_login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def home() -> Iterator[RawServer]:
    """The registry."""
    with raw_server() as server:
        yield server


@pytest.fixture
def elsewhere() -> Iterator[RawServer]:
    """Another host."""
    with raw_server() as server:
        yield server


@pytest.fixture(params=["password", "identity token"])
def login(
    request: pytest.FixtureRequest, home: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker knows a login for the registry, of either kind."""
    store_login(home, tmp_path, monkeypatch, identity=request.param != "password")
