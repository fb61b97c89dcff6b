"""An engine that is held: it goes on afterwards, and an ended server is no fault of the machine."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from pipeline.model.errors import EngineError
from pipeline.suite.holding import held
from pipeline.suite.targets.target import Completed


class Signals:
    """A server that counts the signals to its engine; beside one that has ended nothing can be run."""

    def __init__(
        self, *, engines: str = "[7]", ended: str | None = None, fails_at: int | None = None
    ) -> None:
        self.sent: list[int] = []
        self._engines, self._end, self._fails_at = engines, ended, fails_at
        self.server = self

    def python(self, _source: str, number: str, *, seconds: float) -> Completed:
        assert seconds > 0
        self.sent.append(int(number))
        if int(number) == self._fails_at:
            raise EngineError("could not run a program in a container: it is not running", hint="docker info")
        return Completed(0, f"probe-result: {self._engines}\n", "")

    def ended(self) -> str | None:
        return self._end


def held_by(server: Any) -> Any:
    return held(server)


def test_an_engine_that_is_held_goes_on_when_the_block_ends_however_it_ends() -> None:
    server, inside = Signals(), []

    def breaks_off() -> None:
        with held_by(server) as is_held:
            inside.extend([is_held, *server.sent])
            raise KeyError

    with pytest.raises(KeyError):
        breaks_off()
    assert inside == [True, signal.SIGSTOP]
    assert server.sent == [signal.SIGSTOP, signal.SIGCONT]


def test_where_no_engine_is_seen_none_is_held() -> None:
    with held_by(Signals(engines="[]")) as is_held:
        assert not is_held


def test_a_server_that_ended_meanwhile_needs_no_engine_that_goes_on() -> None:
    with held_by(Signals(fails_at=signal.SIGCONT, ended="exited with code 0")):
        pass


def test_an_engine_of_which_nobody_knows_whether_it_goes_on_is_the_machines_fault() -> None:
    with pytest.raises(EngineError), held_by(Signals(fails_at=signal.SIGCONT)):
        pass
