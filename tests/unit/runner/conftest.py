"""Tests of the runner have locks of their own: they wait for no proof on this machine, and none for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.adapters import leases

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("lock")
    folder.chmod(0o1777)
    monkeypatch.setenv(leases.VARIABLE, str(folder))
    return folder
