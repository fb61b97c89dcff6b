"""Options of the suite, its fixtures, and the line of JSON that each check writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.model import KEPT, MAX_FACTS, Outcome, Trial
from pipeline.model.errors import MachineError
from pipeline.suite import USER_TESTS
from pipeline.suite.expect import NotRun
from pipeline.suite.inference import Inference
from pipeline.suite.live_server import LiveServer, is_late
from pipeline.suite.orphaned import end_when_orphaned
from pipeline.suite.outcomes import check_of
from pipeline.suite.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.model import Check
    from pipeline.suite.trial_run import TrialRun

_FACT = "fact"
"""The key of what a check notes, among the properties that pytest keeps of it."""
_TRIAL = pytest.StashKey[Trial]()
_RUN = pytest.StashKey["TrialRun"]()
"""The running trial, once a check has asked for it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for the trial, its results and the server's log."""
    group = parser.getgroup("trial")
    group.addoption("--trial", type=Path, required=True, help="JSON that says what to try")
    group.addoption("--results", type=Path, required=True, help="gets one line of JSON for each check")
    group.addoption("--server-log", type=Path, help="gets the server's log; default: beside the results")


def pytest_sessionstart() -> None:
    """Nothing outlives a ``verify`` that was killed."""
    end_when_orphaned()


def _trial_of(config: pytest.Config) -> Trial:
    """What the suite was told to try, read once."""
    if _TRIAL not in config.stash:
        config.stash[_TRIAL] = Trial.model_validate_json(config.getoption("trial").read_bytes())
    return config.stash[_TRIAL]


@pytest.fixture(scope="session")
def trial(pytestconfig: pytest.Config) -> Trial:
    """The input of the suite."""
    return _trial_of(pytestconfig)


@pytest.fixture(scope="session")
def server_log(pytestconfig: pytest.Config) -> Path:
    """Where the server's log goes."""
    results: Path = pytestconfig.getoption("results")
    log: Path = pytestconfig.getoption("server_log") or results.with_suffix(".log")
    return log.absolute()


@pytest.fixture(scope="session")
def trial_run(pytestconfig: pytest.Config, trial: Trial, server_log: Path) -> Iterator[TrialRun]:
    """The running trial, with a server if the cell has one."""
    trial_run = (Serving if trial.cell.vllm else Inference)(trial, server_log)
    pytestconfig.stash[_RUN] = trial_run
    try:
        yield trial_run
    finally:
        trial_run.close()


@pytest.fixture
def healthy_server(trial_run: Serving) -> LiveServer:
    """The server of production, which has been healthy."""
    trial_run.production.require_up()
    return trial_run.production


@pytest.fixture
def bounded_server(trial_run: Serving) -> LiveServer:
    """The bounded server, which has been healthy."""
    trial_run.bounded.require_up()
    return trial_run.bounded


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Puts a fact by its name into the check's line, whatever becomes of the check."""
    return lambda name, value: request.node.user_properties.append((_FACT, (name, value)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Do not run what is left out: asked before any fixture starts something for it."""
    if isinstance(run := item.config.stash.get(_RUN, None), Serving):
        run.keeper.check = _name_of(item)
    if reason := _trial_of(item.config).left_out.get(_name_of(item)):
        raise NotRun(f"left out: {reason}")


def _name_of(item: pytest.Item) -> str:
    return item.name.partition("_")[2]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Write the check's line as soon as its outcome is known; a user's tests write their own."""
    report = yield
    failed_early = call.when == "setup" and call.excinfo is not None
    if item.name != USER_TESTS and (call.when == "call" or failed_early):
        check = _with_what_was_kept(_check(item, call), item, call)
        with Path(item.config.getoption("results")).open("a") as results:
            results.write(check.model_dump_json() + "\n")
    return report


def _check(item: pytest.Item, call: pytest.CallInfo[None]) -> Check:
    """The outcome of one check, with what it noted; one that failed before its call tested nothing."""
    reported = [value for key, value in item.user_properties if key == "seconds"]
    error = call.excinfo.value if call.excinfo else None
    run = item.config.stash.get(_RUN, None)
    return check_of(
        _name_of(item),
        float(str(reported[0])) if reported else call.duration,
        error,
        gpus=run.gpus if run else (),
        is_tested=call.when != "setup",
        facts=dict(noted for key, noted in item.user_properties if key == _FACT),  # type: ignore[misc]
        ended=lambda: _end_of_server(item),
    )


def _with_what_was_kept(check: Check, item: pytest.Item, call: pytest.CallInfo[None]) -> Check:
    """The check with the folder of what is known of its servers, where a deadline has passed."""
    run = item.config.stash.get(_RUN, None)
    if not isinstance(run, Serving) or check.outcome in {Outcome.PASSED, Outcome.NOT_RUN}:
        return check
    run.keeper.check = check.name  # the first one is older than its trial
    place = run.keep() if is_late(call.excinfo and call.excinfo.value) else run.keeper.place
    if not place or len(check.facts) >= MAX_FACTS:
        return check
    return check.model_copy(update={"facts": check.facts | {KEPT: place}})


def _end_of_server(item: pytest.Item) -> str:
    """How the server ended, if it did: often the cause of an unexpected error."""
    server = getattr(item, "funcargs", {}).get("healthy_server")
    try:
        ended = server.server.ended() if isinstance(server, LiveServer) else None
    except MachineError:
        return ""
    return f"; the server had {ended}" if ended else ""
