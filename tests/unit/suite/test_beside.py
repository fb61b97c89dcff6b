"""Requests from beside a server: one that ended meanwhile has failed, and the machine has not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from pipeline.model.errors import EngineError
from pipeline.suite.targets.beside import Beside


def asked(ended: str | None) -> httpx2.Response:
    """The answer of a server beside which nothing can be run."""

    def python(*_: Any, **__: Any) -> Any:
        raise EngineError("could not run a program in a container: it is not running", hint="docker info")

    server: Any = SimpleNamespace(python=python, ended=lambda: ended)
    with httpx2.Client(transport=Beside(server, 8000), trust_env=False) as client:
        return client.get("http://beside/health")


def test_a_server_that_has_ended_gives_no_answer() -> None:
    with pytest.raises(httpx2.ConnectError, match="the server had exited with code 1"):
        asked("exited with code 1")


def test_an_engine_that_runs_nothing_beside_a_server_that_lives_is_the_machines_fault() -> None:
    with pytest.raises(EngineError, match="could not run a program"):
        asked(None)
