"""Prove an image, or an environment: run the suite on it and say what became of each check."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline import suite
from pipeline.adapters import environ, files
from pipeline.model import (
    PROJECT,
    Check,
    ImageTarget,
    Outcome,
    Record,
    Result,
    Trial,
    checks_of,
    key_of,
    rehearsed_checks_of,
    shown,
    versions_of,
)
from pipeline.model.errors import MachineError, UsageError
from pipeline.suite import kept
from pipeline.suite.diagnosing import diagnosed
from pipeline.suite.model import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.model import Attempt, Host, Image, Parent, Repository

_POLL = 0.1
_TAIL_LINES = 40
_GRACE_SECONDS = 20.0
"""For the suite to take down what it started, when it is interrupted."""
_SPARE_SECONDS = 600.0
"""Beyond all of a trial's own deadlines: pulling the image, starting pytest."""


def record(
    image: Image,
    repository: Repository,
    checks: tuple[Check, ...],
    *,
    earlier: Sequence[Record],
    model: str,
    host: Host,
    started: str,
    finished: str,
    replay: str = "",
    parent: Parent | None = None,
    inconclusive: tuple[Attempt, ...] = (),
) -> Record:
    """What the suite saw of an image, as it is signed.

    ``earlier`` are the records of the same image: one of the same proof key makes this another attempt, and
    a pass after a failure a warning. ``inconclusive`` are the attempts just before, in which the machine
    failed: after them a pass is one all the same.
    """
    versions = versions_of(image.cell)
    proof_key = key_of([image.ref.digest.value, versions, model, host.hardware])
    before = [record for record in earlier if record.proof_key == proof_key]
    return Record(
        schema=1,
        cell=image.cell.id,
        repository=str(repository),
        digest=image.ref.digest.value,
        build_key=image.build_key,
        proof_key=proof_key,
        lock=image.lock,
        versions=versions,
        model=model,
        host=host,
        started=started,
        finished=finished,
        attempt=sum(1 + len(one.inconclusive) for one in before) + len(inconclusive) + 1,
        checks=checks,
        result=_result(checks, before),
        replay=replay,
        parent=parent,
        inconclusive=inconclusive,
    )


def _result(checks: tuple[Check, ...], before: Sequence[Record]) -> Result:
    if not {check.outcome for check in checks} <= {Outcome.PASSED, Outcome.NOT_RUN}:
        return Result.FAILED  # what was not run is missing: the gate asks for what has to pass
    has_failed = any(record.result is not Result.PASSED for record in before)
    return Result.WARNED if has_failed else Result.PASSED


# -- running the suite ------------------------------------------------------------------------------


def prove(trial: Trial, *, progress: Callable[[str], None], log: Path) -> tuple[tuple[Check, ...], str]:
    """Run the suite. Returns every check of the cell, in order, and the last lines of its server's log.

    A check that failed carries its diagnosis, where the log or what it saw is recognised.

    ``progress`` is told the name of each check that ended; the whole log goes into ``log``, which is
    empty where there is no server.
    A check that left no line has failed. On any way out, an interruption included, all that was
    started is gone: containers by the run's name, so a run tries one thing at a time.
    Raises UsageError where the image is named by no digest or there is no such model, MachineError
    where the suite itself broke.
    """
    _refuse_unusable(trial)
    with tempfile.TemporaryDirectory(prefix=f"{PROJECT}-") as temporary:
        folder = Path(temporary)
        checks = _run(trial, folder, progress, log)
    done = {check.name: check for check in checks}
    whole = tuple(done.get(name, _absent(name)) for name in names_of(trial))
    return diagnosed(whole, trial, log), _tail(log)


def names_of(trial: Trial) -> tuple[str, ...]:
    """The checks that have to leave a line."""
    return rehearsed_checks_of(trial.cell.vllm) if trial.rehearses else checks_of(trial.cell)


def _refuse_unusable(trial: Trial) -> None:
    """Find out what the user got wrong before anything starts."""
    locate(trial.model)
    try:
        if isinstance(trial.target, ImageTarget):
            _ = trial.target.image
    except ValueError as error:
        raise UsageError(str(error), hint="`docker image inspect` shows an image's RepoDigests") from error


def _run(trial: Trial, folder: Path, progress: Callable[[str], None], log: Path) -> tuple[Check, ...]:
    (folder / "trial.json").write_text(trial.model_dump_json())
    results, output = folder / "results.jsonl", folder / "output.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    files.create(log).close()
    shutil.rmtree(kept.folder_of(log), ignore_errors=True)  # of an earlier trial; a link is left alone
    results.touch()
    with output.open("wb") as out:
        process = subprocess.Popen(
            _command(trial, folder, results, log),
            env=_environ(trial),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        for name in _names(process, results, _seconds(trial)):
            progress(name)
    finally:
        _end(process)
        _reap(trial)
    if process.returncode not in (0, 1):
        raise MachineError(
            f"the suite broke on {trial.cell.id} (exit code {process.returncode}):\n{_tail(output)}",
            hint="nothing was found out about the image; run it again, and report it if it breaks again",
        )
    return _checks(results)


def _command(trial: Trial, folder: Path, results: Path, log: Path) -> list[str]:
    here = Path(suite.__file__).parent
    options = {"--trial": folder / "trial.json", "--results": results, "--server-log": log.absolute()}
    named = [f"{option}={value}" for option, value in options.items()]
    return [
        sys.executable,
        "-P",  # the folder that we were called in may be a stranger's checkout
        "-m",
        "pytest",
        "-c",
        str(here / "pytest.ini"),
        f"--rootdir={here}",
        *named,
        *(suite.rehearsed_of(trial.cell.vllm) if trial.rehearses else suite.tests_of(trial.cell)),
    ]


def _environ(trial: Trial) -> dict[str, str]:
    """What the suite needs to reach what it tries; an environment on this machine can read all of it."""
    kinds = [environ.HOME, environ.MODELS, environ.DEVICES]
    if isinstance(trial.target, ImageTarget):
        kinds += [environ.NETWORK, environ.LOGINS, environ.ENGINE]
    ours = [str(Path(suite.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, ours))
    return environ.of(*kinds) | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _seconds(trial: Trial) -> float:
    """Longer than every deadline of the suite together: only a suite that hangs reaches it."""
    starts = 11 if trial.cell.needs_gpu else 5  # each of three servers may wait for two starts of others
    return (
        starts * trial.healthy_seconds
        + 60 * trial.answer_seconds
        + 3 * trial.shutdown_seconds
        + _SPARE_SECONDS
    )


def _names(process: subprocess.Popen[bytes], results: Path, seconds: float) -> Iterator[str]:
    """The names of the checks, as they end."""
    count, deadline = 0, time.monotonic() + seconds
    while True:
        running = process.poll() is None
        whole = [line for line in results.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        for line in whole[count:]:
            yield _check(line).name
        count = len(whole)
        if not running:
            return
        if time.monotonic() > deadline:
            raise MachineError(
                f"the suite did not end within {seconds:g} s",
                hint="see whether the engine answers (`docker info`), then run it again",
            )
        time.sleep(_POLL)


def _checks(results: Path) -> tuple[Check, ...]:
    return tuple(map(_check, results.read_bytes().splitlines()))


def _check(line: bytes) -> Check:
    """One line that the suite left. Raises MachineError where it is no check."""
    try:
        return Check.model_validate_json(line)
    except ValidationError as error:
        what = f"the suite left a line that is no check: {shown(line)}"
        raise MachineError(what, hint="run it again") from error


def _absent(name: str) -> Check:
    return Check(
        name=name, outcome=Outcome.FAILED, seconds=0, expected=f"the check {name}", seen="did not run"
    )


def _tail(file: Path) -> str:
    """The last lines of a file; nothing where there is none."""
    with suppress(OSError):
        return "\n".join(file.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
    return ""


# -- taking down ------------------------------------------------------------------------------------


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a suite that still runs take down what it started, then kill whatever is left of its session."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
    finally:
        for pid in _session(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _session(leader: int) -> list[int]:
    """The processes of the session that this process leads, servers in groups of their own included."""
    own = Path("/proc/self/stat")
    if not own.exists():
        return [leader]
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            session = stat.read_text().rpartition(")")[2].split()[3]
            members += [int(stat.parent.name)] if int(session) == leader else []
    return members


def _reap(trial: Trial) -> None:
    """Remove the run's containers; whoever interrupts us hears of his interruption, not of the engine."""
    from pipeline.adapters.engine import Engine  # noqa: PLC0415 - the engine's library is loaded where one is used

    if isinstance(trial.target, ImageTarget):
        with suppress(MachineError), Engine.connect() as engine:
            engine.reap(trial.run)
