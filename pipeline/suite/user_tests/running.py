"""A session of pytest for a user's tests, in this process: it sees their folder, and nothing above it."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.model import is_users, leaving_out
from pipeline.model.errors import UsageError
from pipeline.model.user_tests import name_of
from pipeline.suite.expect import NotRun
from pipeline.suite.outcomes import check_of
from pipeline.suite.serving import Serving
from pipeline.suite.user_tests import prompts
from pipeline.suite.user_tests.plugin import Collector, Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.model import Trial
    from pipeline.suite.trial_run import TrialRun

_MAX_NAMED = 20
_SETTINGS = Path(__file__).with_name("pytest.ini")


def collect(trial: Trial) -> tuple[str, ...]:
    """The names of the user's tests that this trial has, in the order in which they run.

    Raises UsageError where a file of theirs cannot be read, there is no test, two have one name, or the
    matrix leaves out one that is not there.
    """
    names = [name_of(Path(file).name) for file in trial.prompts]
    for file in trial.prompts:
        prompts.read(Path(file))
    if trial.tests:
        found = Collector(trial)
        _pytest(trial.tests, found, "--collect-only", "--quiet")
        if found.troubles:
            raise UsageError(
                f"{trial.tests}: tests of yours cannot be collected:\n" + "\n".join(found.troubles),
                hint=f"they run on the host, by {sys.executable}: what they import has to be there",
            )
        if not found.known:
            hint = "write functions test_… in files test_….py, or remove `verify: tests:` from the matrix"
            raise UsageError(f"{trial.tests}: there is no test in it", hint=hint)
        names += found.names
        _refuse_unknown(trial, found.known)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        hint = "give the cases ids of their own: pytest.param(…, id=…)"
        raise UsageError(f"tests of yours have one name: {', '.join(twice)}", hint=hint)
    return tuple(names)


def _refuse_unknown(trial: Trial, known: Sequence[str]) -> None:
    """Refuse what the matrix leaves out of tests that are there, and is none of them."""
    named = (name for name in trial.left_out if is_users(name) and "::" in name)
    if absent := [name for name in named if not any(leaving_out(one, (name,)) for one in known)]:
        hint = f"there are {', '.join(known[:_MAX_NAMED])}"
        raise UsageError(
            f"`leave_out:` names {', '.join(absent)}, which {trial.tests} does not have", hint=hint
        )


def run(trial_run: TrialRun, results: Path) -> None:
    """Run them; each writes its line. Raises KeyboardInterrupt where somebody ends us."""
    trial = trial_run.trial

    def write(name: str, seconds: float, error: BaseException | None) -> None:
        check = check_of(name, seconds, error, gpus=trial_run.gpus)
        with results.open("a") as lines:
            lines.write(check.model_dump_json() + "\n")

    for file in map(Path, trial.prompts):
        started, error = time.monotonic(), _prompted(trial_run, file)
        write(name_of(file.name), time.monotonic() - started, error)
    if trial.tests:
        session = Session(trial_run, write)
        _pytest(trial.tests, session, "--capture=no")
        if session.is_interrupted:
            raise KeyboardInterrupt


def _prompted(trial_run: TrialRun, file: Path) -> Exception | None:
    """What is wrong with the answers to a file of prompts, or why they were not asked for."""
    left_out = trial_run.trial.left_out
    if by := leaving_out(name_of(file.name), left_out):
        return NotRun(f"left out: {left_out[by]}")
    assert isinstance(trial_run, Serving), "prompts are for cells with a server"
    try:
        trial_run.production.require_up()
        prompts.expect_answers(trial_run.production, prompts.read(file))
    except Exception as error:  # noqa: BLE001 - it is the outcome, whatever it is
        return error
    return None


def _pytest(folder: str, plugin: Collector, *words: str) -> None:
    """One session over a folder; the user's own settings of pytest are not read."""
    named = (f"--rootdir={folder}", f"--confcutdir={folder}", folder)
    with _no_bytecode():
        pytest.main(["-c", str(_SETTINGS), *words, *named], plugins=[plugin])


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Nothing is written into the user's folder."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
