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
    is_users,
    key_of,
    rehearsed_checks_of,
    shown,
    versions_of,
)
from pipeline.model.errors import MachineError, UsageError
from pipeline.suite import kept
from pipeline.suite.diagnosing import diagnosed
from pipeline.suite.model import locate
from pipeline.suite.user_tests.collected import Collected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.model import Attempt, Basis, Host, Image, Parent, Repository

_POLL = 0.1
_TAIL_LINES = 40
_COLLECT_SECONDS = 120.0
_END_BYTES = 2000
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
    basis: Basis,
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
    tests = [basis.tests] if basis.tests else []
    proof_key = key_of([image.ref.digest.value, versions, basis.model, host.hardware, *tests])
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
        model=basis.model,
        tests=basis.tests,
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
    A check that left no line has failed, a user's test too. On any way out, an interruption included, all
    that was started is gone: containers by the run's name, so a run tries one thing at a time.
    Raises UsageError where the image is named by no digest, there is no such model, or tests of the user's
    cannot be collected; MachineError where the suite itself broke.
    """
    _refuse_unusable(trial)
    with tempfile.TemporaryDirectory(prefix=f"{PROJECT}-") as temporary:
        folder = Path(temporary)
        (folder / "trial.json").write_text(trial.model_dump_json())
        users = _users_tests(trial, folder)
        checks = _run(trial, folder, progress, log, has_users=bool(users))
    done = {check.name: check for check in checks}
    whole = tuple(done.get(name, _absent(name)) for name in suite.with_users(names_of(trial), users))
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


def _users_tests(trial: Trial, folder: Path) -> tuple[str, ...]:
    """The names of the user's tests that have to leave a line; their files are imported for it.

    Raises UsageError where there is something wrong with them, so that no image is started for it.
    """
    if trial.rehearses or not (trial.tests or trial.prompts):
        return ()
    names = folder / "names.json"
    module = "pipeline.suite.user_tests.collect"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, str(folder / "trial.json"), str(names)],
            env=_environ(trial),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COLLECT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        what = f"{trial.tests}: your tests could not be collected within {_COLLECT_SECONDS:g} s"
        raise UsageError(what, hint="leave what takes long to the tests and their fixtures") from error
    if not names.is_file():
        what = f"{trial.tests}: collecting your tests ended with exit code {done.returncode}"
        raise UsageError(
            f"{what}:\n{shown(done.stdout[-_END_BYTES:])}", hint="have the files only define tests"
        )
    return _collected(names)


def _collected(names: Path) -> tuple[str, ...]:
    """The names of tests that were collected. Raises UsageError where they were refused."""
    body = names.read_bytes()
    try:
        found = Collected.model_validate_json(body)
    except ValidationError as error:
        what = f"collecting your tests left what is no list of them: {shown(body)}"
        raise MachineError(what, hint="run it again") from error
    if found.refused:
        raise UsageError(found.refused, hint=found.hint)
    return found.names


def _run(
    trial: Trial, folder: Path, progress: Callable[[str], None], log: Path, *, has_users: bool
) -> tuple[Check, ...]:
    results, output = folder / "results.jsonl", folder / "output.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    files.create(log).close()
    shutil.rmtree(kept.folder_of(log), ignore_errors=True)  # of an earlier trial; a link is left alone
    results.touch()
    with output.open("wb") as out:
        process = subprocess.Popen(
            _command(trial, folder, results, log, has_users=has_users),
            env=_environ(trial),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        for name in _names(process, results, _seconds(trial), trial.healthy_seconds):
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


def _command(trial: Trial, folder: Path, results: Path, log: Path, *, has_users: bool) -> list[str]:
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
        *(
            suite.rehearsed_of(trial.cell.vllm)
            if trial.rehearses
            else suite.steps_of(trial.cell)
            if has_users
            else suite.tests_of(trial.cell)
        ),
    ]


def _environ(trial: Trial) -> dict[str, str]:
    """What the suite needs to reach what it tries; an environment on this machine can read all of it."""
    kinds = [environ.HOME, environ.MODELS, environ.DEVICES, environ.LEASES]
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


def _names(
    process: subprocess.Popen[bytes], results: Path, seconds: float, of_a_user: float
) -> Iterator[str]:
    """The names of the checks, as they end; each test of a user's gives the suite as many seconds more."""
    count, deadline = 0, time.monotonic() + seconds
    while True:
        running = process.poll() is None
        whole = [line for line in results.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        for line in whole[count:]:
            name = _check(line).name
            deadline += of_a_user if is_users(name) else 0
            yield name
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
