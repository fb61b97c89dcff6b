"""The check of the health check: it says when an engine hangs, and not when one is busy."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters.recipe import IMAGES
from pipeline.model import ImageTarget
from pipeline.suite.answers import complete, expect_reference, tokens_of
from pipeline.suite.expect import Mismatch, NotRun, Task, expect_that, expect_tokens, poll
from pipeline.suite.holding import held
from pipeline.suite.trial_run import end_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.suite.checks import Note
    from pipeline.suite.live_server import LiveServer
    from pipeline.suite.serving import Serving

LEAST_BOUND, MOST_BOUND = 2.0, 16.0
"""Between these is the bound, in seconds: the tiny model's steps take far less, but a loaded machine lets a
whole server wait. An answer that a stop of the widest bound interrupts is still in time."""
LOOKS = 5
"""How often a busy server is looked at, at the least, for longer than the bound."""
_LATE_SECONDS = 15.0
"""By how much a loaded machine may be late with a look, or with an answer."""
_WAIT_SECONDS, _CALL_SECONDS = 10.0, 30.0
"""How long a look may wait for the server's answers, and how long it may take in all."""
_IN_THE_IMAGE = "import os, sys; os.execv('/usr/local/bin/alive', ['alive', *sys.argv[1:]])"
_HEALTHY, _UNHEALTHY = 0, 1
_REMEMBERS = ("/dev/shm", "/tmp")  # noqa: S108 - FOLDERS of images/alive.py


def check_alive(trial_run: Serving, healthy_server: LiveServer, note: Note) -> None:
    """The health check finds a busy engine healthy, a stopped one unhealthy, and healthy when it goes on.

    The engine's process is stopped by a signal amid its answers, and /health answers 200 all the while.
    Afterwards each answer is whole and right. The bound is short, but longer than a whole answer takes, and
    than what a busy server takes on a machine with other work: it is doubled until such a one is healthy.

    A pass does not say that the bound of production is right for a model of yours: its longest step decides.
    """
    trial_run.reference()  # waiting for it is no part of an answer
    started = time.monotonic()
    _expect_answer(trial_run, healthy_server, 0)
    bound = max(LEAST_BOUND, time.monotonic() - started)
    check = HealthCheck(trial_run, healthy_server, bound)
    with check.forgotten(), _under_load(trial_run, healthy_server):
        looks = check.expect_healthy_while_busy()
        with held(healthy_server) as is_held:
            if not is_held:
                raise NotRun("no process of the server's is called EngineCore")
            stopped = time.monotonic()
            said = check.await_exit(_UNHEALTHY, check.bound + _LATE_SECONDS, "while the engine is stopped")
            note("unhealthy-after", f"{time.monotonic() - stopped:.1f} s, allowed are {check.bound:.1f}")
            note("said", said)
            note("health-endpoint", healthy_server.health())
        check.await_exit(_HEALTHY, _LATE_SECONDS, "when the engine goes on")
    note("looks", f"{looks} of a busy server, all healthy")


class HealthCheck:
    """The program that the image has for docker and Kubernetes; of an environment ours, by its Python."""

    def __init__(self, trial_run: Serving, server: LiveServer, bound: float) -> None:
        self.bound, self._server = bound, server
        self._url: tuple[str, ...] = ()
        self._source = _IN_THE_IMAGE
        if not isinstance(trial_run.trial.target, ImageTarget):
            self._source = (IMAGES / "alive.py").read_text("utf-8")
            self._url = ("--url", server.server.base_url)

    @contextmanager
    def forgotten(self) -> Iterator[None]:
        """What it remembers of an environment's server is gone after the block; an image's goes with it."""
        self.expect_healthy("of a server without work")
        try:
            yield
        finally:
            port = self._server.server.base_url.rpartition(":")[2]
            for folder in _REMEMBERS if self._url else ():
                for memory in Path(folder).glob(f"alive-{os.geteuid()}-*-{port}"):
                    memory.unlink(missing_ok=True)

    def look(self) -> tuple[int, str]:
        """Its exit code and its line. Raises NotRun where the image has none."""
        words = (
            "--seconds",
            f"{self.bound:.2f}",
            "--wait",
            f"{min(self.bound, _WAIT_SECONDS):.2f}",
            *self._url,
        )
        done = self._server.server.python(self._source, *words, seconds=_CALL_SECONDS)
        if "FileNotFoundError" in done.stderr:
            raise NotRun("the image has no health check of ours, /usr/local/bin/alive")
        if done.exit_code not in {_HEALTHY, _UNHEALTHY} or not done.stdout:
            raise Mismatch(f"a line of the health check within {_CALL_SECONDS:g} s", end_of(done))
        return done.exit_code, done.stdout.strip()

    def expect_healthy(self, when: str) -> None:
        """Raise Mismatch if it is not."""
        code, said = self.look()
        expect_that(f"exit code 0 of the health check {when}", code == _HEALTHY, said)

    def expect_healthy_while_busy(self) -> int:
        """Look for longer than the bound, and widen that where it was too short; the looks at the last one.

        Raises Mismatch if a busy server is not healthy by the widest one either.
        """
        looks, since = 0, time.monotonic()
        while looks < LOOKS or time.monotonic() - since < self.bound:
            code, said = self.look()
            looks += 1
            if code != _HEALTHY:
                expect_that("exit code 0 of the health check of a busy server", self.bound < MOST_BOUND, said)
                self.bound, looks, since = min(2 * self.bound, MOST_BOUND), 0, time.monotonic()
        return looks

    def await_exit(self, expected: int, seconds: float, when: str) -> str:
        """What it says with this exit code. Raises Mismatch if it does not come within these seconds."""
        looks: list[tuple[int, str]] = []

        def is_expected() -> bool:
            looks.append(self.look())
            return looks[-1][0] == expected

        poll(seconds, is_expected)
        code, said = looks[-1]
        expect_that(f"exit code {expected} of the health check {when}", code == expected, said)
        return said


@contextmanager
def _under_load(trial_run: Serving, server: LiveServer) -> Iterator[None]:
    """Each prompt is asked again and again until the block ends. Raises Mismatch for a wrong answer."""
    ended = threading.Event()

    def ask(index: int) -> None:
        while not ended.is_set():
            _expect_answer(trial_run, server, index)

    tasks = [Task(partial(ask, index)) for index in range(len(trial_run.prompts))]
    try:
        yield
    finally:
        ended.set()
    for task in tasks:
        task.result(server.trial.answer_seconds + _LATE_SECONDS, "the answers that were asked for")


def _expect_answer(trial_run: Serving, server: LiveServer, index: int) -> None:
    """Ask for one answer. Raises Mismatch if it is not that of Transformers, and the golden one."""
    what, prompt = f"prompt {index + 1}", trial_run.prompts[index]
    answer = server.ask("an answer", lambda client: complete(client, prompt, trial_run.steps))
    tokens = tokens_of(answer.choices[0])
    expect_reference(what, trial_run.reference()["answers"][index], tokens, server.dtype)
    if trial_run.golden:
        expect_tokens(f"{what}, golden", trial_run.golden.answers[index].tokens, tokens)
