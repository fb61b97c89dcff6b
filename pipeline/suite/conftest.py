"""Options of the suite, the trial under way, and the line of JSON that each check leaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.model import Check, Outcome, Trial
from pipeline.model.errors import MachineError, TagproofError
from pipeline.suite.expect import Mismatch, brief
from pipeline.suite.inference import Inference
from pipeline.suite.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.suite.stage import Stage


def pytest_addoption(parser: pytest.Parser) -> None:
    """Name the trial, and where results and the server's log go."""
    group = parser.getgroup("trial")
    group.addoption("--trial", type=Path, required=True, help="JSON that says what to try")
    group.addoption("--results", type=Path, required=True, help="gets one line of JSON for each check")
    group.addoption("--server-log", type=Path, help="gets the server's log; default: beside the results")


@pytest.fixture(scope="session")
def trial(pytestconfig: pytest.Config) -> Trial:
    """All that the suite was given."""
    return Trial.model_validate_json(pytestconfig.getoption("trial").read_bytes())


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config, trial: Trial) -> Iterator[Stage]:
    """The trial under way, with a server where the cell has one."""
    results: Path = pytestconfig.getoption("results")
    log: Path = pytestconfig.getoption("server_log") or results.with_suffix(".log")
    stage = (Serving if trial.cell.vllm else Inference)(trial, log.absolute())
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def up(stage: Serving) -> Serving:
    """The trial under way, its server healthy at some time."""
    stage.require_up()
    return stage


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Write the check's line as soon as its outcome is known."""
    report = yield
    failed_early = call.when == "setup" and call.excinfo is not None
    if call.when == "call" or failed_early:
        check = _check(item, call)
        with Path(item.config.getoption("results")).open("a") as results:
            results.write(check.model_dump_json() + "\n")
    return report


def _check(item: pytest.Item, call: pytest.CallInfo[None]) -> Check:
    """The outcome of one check. What was skipped, or broke in an unforeseen way, has not passed."""
    name = item.name.removeprefix("check_")
    told = [value for key, value in item.user_properties if key == "seconds"]
    seconds = float(str(told[0])) if told else call.duration
    error = call.excinfo.value if call.excinfo else None
    match error:
        case None:
            return Check(name=name, outcome=Outcome.PASSED, seconds=seconds)
        case Mismatch():
            expected, seen = error.expected, error.seen
        case _ if (
            isinstance(error, TagproofError) or call.when == "setup"
        ):  # nothing was asked of the image yet
            seen = brief(str(error) or repr(error))
            return Check(name=name, outcome=Outcome.INCONCLUSIVE, seconds=seconds, seen=seen)
        case _:
            expected, seen = "no error", brief(f"{type(error).__name__}: {error}{_end_of_server(item)}")
    return Check(name=name, outcome=Outcome.FAILED, seconds=seconds, expected=expected, seen=seen)


def _end_of_server(item: pytest.Item) -> str:
    """How the server had ended, where it had: often the cause of an unforeseen error."""
    stage = getattr(item, "funcargs", {}).get("up")
    try:
        ended = stage.server.ended() if isinstance(stage, Serving) else None
    except MachineError:
        return ""
    return f"; the server had {ended}" if ended else ""
