"""A server is waited for once, by the first that needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from pipeline.suite.expect import Mismatch
from pipeline.suite.live_server import LiveServer
from tests.system.suite.trials import trial_of


def server(*, status: int = 200, ended: str | None = None) -> tuple[LiveServer, list[str]]:
    """A server that answers like this or has ended, and the paths that it was asked for."""
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(status)

    started: Any = SimpleNamespace(
        base_url="http://127.0.0.1:8000",
        http=lambda: httpx2.MockTransport(answer),
        ended=lambda: ended,
        log=lambda: "RuntimeError: no room",
    )
    trial = trial_of(Path(sys.executable), "/model", healthy_seconds=0.3)
    return LiveServer(trial, started, "bfloat16"), asked


def test_a_server_that_no_check_has_waited_for_is_waited_for() -> None:
    """The check that does may be left out."""
    live, _ = server()
    live.require_up()
    assert live.is_up


def test_a_server_that_did_not_come_up_is_not_waited_for_again() -> None:
    live, asked = server(status=503)
    with pytest.raises(Mismatch, match="status 503"):
        live.require_up()
    count = len(asked)
    with pytest.raises(Mismatch, match="server not up"):
        live.require_up()
    assert (len(asked), live.comes_up()) == (count, False)


def test_the_end_of_a_server_is_noticed_with_its_last_words() -> None:
    live, asked = server(ended="exited with code 1")
    with pytest.raises(Mismatch, match="exited with code 1: RuntimeError: no room"):
        live.require_up()
    assert asked == []


def test_the_official_client_is_closed_with_its_server() -> None:
    live, _ = server()
    client = live.client
    assert not client.is_closed()
    live.close()
    assert client.is_closed()


def test_a_client_that_nobody_used_is_not_made_to_be_closed() -> None:
    live, _ = server()
    live.close()
    assert "client" not in vars(live)
