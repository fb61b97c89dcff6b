"""Keeping what is known of a server takes a bounded time, and never fails."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model.errors import EngineError
from pipeline.suite import kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _hangs(*_: object) -> Any:
    time.sleep(30)


def _breaks(*_: object) -> Any:
    raise EngineError("the engine is gone", hint="start it")


@pytest.mark.parametrize("does", [_hangs, _breaks], ids=["hangs", "breaks"])
def test_whatever_an_engine_does_it_ends_in_time_and_says_what_is_not_there(
    does: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kept, "SECONDS", 1.0)
    keeper, started = kept.Keeper(tmp_path / "server.log"), time.monotonic()
    keeper.check = "chat"
    server = SimpleNamespace(ended=does, log=does, pids_here=does)
    keeper.keep({"production": SimpleNamespace(server=server, metrics=does)})  # type: ignore[dict-item]
    assert time.monotonic() - started < 5
    assert keeper.place == "server.kept/chat"
    for part in ("log", "metrics", "stacks"):
        text = (tmp_path / keeper.place / f"production.{part}.txt").read_text()
        assert text.startswith("not there: ")


def test_where_a_link_lies_in_its_place_nothing_is_written(tmp_path: Path) -> None:
    """A checkout may hold one."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "server.kept").symlink_to(tmp_path / "precious")
    keeper = kept.Keeper(tmp_path / "server.log")
    keeper.check = "chat"
    server = SimpleNamespace(ended=_breaks, log=_breaks, pids_here=_breaks)
    keeper.keep({"production": SimpleNamespace(server=server, metrics=_breaks)})  # type: ignore[dict-item]
    assert list((tmp_path / "precious").iterdir()) == []
