"""What pytest is given to collect a user's tests, and to run them: fixtures, names, deadlines, lines."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import ImageTarget, leaving_out
from pipeline.model.errors import TagproofError
from pipeline.model.user_tests import name_of
from pipeline.suite.expect import Mismatch, NotRun
from pipeline.suite.serving import SERVED, Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openai import OpenAI

    from pipeline.model import Cell, Trial
    from pipeline.suite.trial_run import TrialRun

_OF_A_SERVER = frozenset({"server", "client"})
"""The fixtures that a cell without vLLM has not."""

_MAX_SHOWN = 100


@dataclass(frozen=True)
class Endpoint:
    """The server of production: its address without ``/v1``, the name of its model, the key it wants."""

    url: str
    model: str
    key: str


class Collector:
    """Names the tests that a cell has, and keeps what of the user's files could not be collected.

    ``known`` are those of other cells, too.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.known: list[str] = []
        self.names: list[str] = []
        self.troubles: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep why a file could not be collected."""
        if report.failed:
            last = [line for line in str(report.longrepr).splitlines() if line.strip()][-1:]
            self.troubles.append(f"{report.nodeid}: {' '.join(last).removeprefix('E').strip()}")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Without vLLM there is no server: tests that ask one are of the other cells alone."""
        foreign = _OF_A_SERVER if self.trial.cell.vllm is None else frozenset()
        others = [item for item in items if foreign & {*getattr(item, "fixturenames", ())}]
        self.known = self._named(items)
        items[:] = [item for item in items if item not in others]
        self.names = self._named(items)
        config.hook.pytest_deselected(items=others)

    def _named(self, items: list[pytest.Item]) -> list[str]:
        names = []
        for item in items:
            try:
                names.append(name_of(item.nodeid))
            except ValueError as error:
                self.troubles.append(f"{item.nodeid[:_MAX_SHOWN]}: {error}")
        return names


class Session(Collector):
    """Runs them; ``write`` takes each with its seconds, and the error that ended it, if one did."""

    def __init__(
        self,
        trial_run: TrialRun,
        write: Callable[[str, float, BaseException | None], None],
    ) -> None:
        super().__init__(trial_run.trial)
        self.is_interrupted = False
        self._run, self._write = trial_run, write
        self._errors: dict[str, BaseException | None] = {}
        self._seconds: dict[str, float] = {}

    # -- fixtures -----------------------------------------------------------------------------------

    @pytest.fixture(scope="session")
    def cell(self) -> Cell:
        """The cell that is tried."""
        return self.trial.cell

    @pytest.fixture(scope="session")
    def image(self) -> str:
        """The image by digest; of an environment its Python."""
        target = self.trial.target
        return target.ref if isinstance(target, ImageTarget) else target.python

    @pytest.fixture(scope="session")
    def server(self) -> Endpoint:
        """The server of production, healthy."""
        server = self._serving.production
        server.require_up()
        return Endpoint(server.server.base_url, SERVED, server.key)

    @pytest.fixture(scope="session")
    def client(self, server: Endpoint) -> OpenAI:
        """The official client of that server: it asks once, and waits as long as the suite does."""
        del server
        return self._serving.production.client

    @property
    def _serving(self) -> Serving:
        assert isinstance(self._run, Serving), "tests that ask a server are left to cells that have one"
        return self._run

    # -- one test -----------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Do not run what is left out: asked before any fixture of it."""
        left_out = self.trial.left_out
        if by := leaving_out(name_of(item.nodeid), left_out):
            pytest.skip(f"left out: {left_out[by]}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        """End a test that does not end by itself."""
        with _deadline(self.trial.healthy_seconds):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Write the test's line once all of it has ended."""
        report: Any = yield
        name = name_of(item.nodeid)
        self._seconds[name] = self._seconds.get(name, 0.0) + call.duration
        error = _error_of(report, call, item.path)
        if error and not isinstance(self._errors.get(name), Mismatch):
            self._errors[name] = error
        if call.when == "teardown":
            self._write(name, self._seconds[name], self._errors.get(name))
        return report  # type: ignore[no-any-return]

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that somebody ended us, which pytest tells as it tells a test that calls its ``exit``."""
        self.is_interrupted = excinfo.errisinstance(KeyboardInterrupt)


def _error_of(report: Any, call: pytest.CallInfo[None], path: Path) -> BaseException | None:
    """What ended a phase of a test, in the suite's terms; nothing where it is well."""
    if report.passed:
        return None
    if report.skipped:
        marked = getattr(report, "wasxfail", None)
        return NotRun(_reason_of(report.longrepr) if marked is None else f"failed, as it is marked: {marked}")
    error = call.excinfo.value if call.excinfo else None
    if error is None:
        return Mismatch("a failure, as the test is marked", "it passed")
    if isinstance(error, Mismatch | TagproofError):
        return error
    where, statement = _place(call.excinfo, path)
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return Mismatch(statement, f"{str(error) or 'it does not hold'} ({where})")
    return Mismatch("no error", f"{type(error).__name__}: {error} ({where})")


def _reason_of(longrepr: Any) -> str:
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return str(reason).removeprefix("Skipped: ")


def _place(excinfo: Any, path: Path) -> tuple[str, str]:
    """Where in the user's file a test ended, and the statement that stands there."""
    entries = [entry for entry in excinfo.traceback if entry.path == path] or list(excinfo.traceback)
    statement = " ".join(str(entries[-1].statement).split())
    return f"{entries[-1].path.name}:{entries[-1].lineno + 1}", statement


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise Mismatch inside the block once these seconds are over; of the main thread alone."""

    def end(*_: object) -> None:
        raise Mismatch(f"an end of the test within {seconds:g} s", "none by then")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
