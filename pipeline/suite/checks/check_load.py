"""The checks of the server of production under many requests, and of its end while some are answered."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx2

from pipeline.compat import server_arguments
from pipeline.compat.server_arguments import SHUTDOWN_TIMEOUT
from pipeline.formats import units
from pipeline.formats.numbers import whole
from pipeline.suite.expect import Mismatch, NotRun, Task, expect, expect_that
from pipeline.suite.holding import begin
from pipeline.suite.metrics import settle
from pipeline.suite.serving import SERVED

if TYPE_CHECKING:
    from pipeline.suite.checks import Note
    from pipeline.suite.live_server import LiveServer
    from pipeline.suite.serving import Serving

WARMING, REQUESTS = 100, 500
"""Requests before the first look at memory, and after it."""
TOGETHER = 16
GROWTH_BYTES, ROUNDS = 64 << 20, 3
"""By how much memory may grow in that many requests, and how often they are sent before it counts as growth.

Allocators keep some, and more once; a leak takes as much each time, and one of a quarter of a MiB is found.
"""

STREAMS = 2
"""Answers that are streamed while the server is asked to end."""
_TOLD_SECONDS = 0.5
"""After which a server has certainly been told to end."""
_END_SECONDS = 10.0


def check_memory(trial_run: Serving, healthy_server: LiveServer, note: Note) -> None:
    """The server's memory stays within its bound through start and load, and does not grow with requests.

    As the kernel counts it on the host. The bound is the matrix's (`budgets: resident:`) or, without one, the
    share of this machine's memory that a server on a CPU takes.
    """
    server, trial = healthy_server.server, trial_run.trial
    bound = trial.resident_bytes or int(trial.gpu_memory * _total_bytes())
    seen = {"memory-start": server.resident_bytes()}
    _load(healthy_server, WARMING)
    seen["memory-warm"] = seen["memory-end"] = server.resident_bytes()
    grown: list[int] = []
    while not grown or (grown[-1] > GROWTH_BYTES and len(grown) < ROUNDS):
        before = seen["memory-end"]
        _load(healthy_server, REQUESTS)
        settle(healthy_server)
        seen["memory-end"] = server.resident_bytes()
        grown.append(seen["memory-end"] - before)
    for name, count in seen.items():
        note(name, units.size(count))
    expect_that("memory of the server's processes", min(seen.values()) > 0, "none")
    expect_that(
        f"at most {units.size(GROWTH_BYTES)} more after {REQUESTS} requests, in one of {ROUNDS} rounds",
        grown[-1] <= GROWTH_BYTES,
        f"{', '.join(map(units.size, grown))} more",
    )
    most = max(seen.values())
    expect_that(f"at most {units.size(bound)} resident", most <= bound, units.size(most))


def _total_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _load(server: LiveServer, count: int) -> None:
    """Send so many short requests, some at a time."""
    with ThreadPoolExecutor(TOGETHER) as pool:
        for status in pool.map(lambda number: _short(server, number), range(count)):
            expect("status of a short request:", 200, status)


def _short(server: LiveServer, number: int) -> int:
    body = {"model": SERVED, "prompt": f"{number}. Hi", "max_tokens": 1 + number % 4, "temperature": 0}
    return server.post("/v1/completions", json.dumps(body).encode()).status_code


def check_drain(trial_run: Serving, healthy_server: LiveServer, note: Note) -> None:
    """Asked to end while it streams, the server finishes what it has accepted, and accepts nothing new.

    It has the time that ``--shutdown-timeout`` of its arguments gives; afterwards nothing is left.
    """
    words = (*trial_run.target.arguments(), *trial_run.trial.serve)
    told = server_arguments.value_of(SHUTDOWN_TIMEOUT, words)
    if not (seconds := whole(told or "")):
        given = f"{SHUTDOWN_TIMEOUT} {told or 'is not there'}"
        raise NotRun(f"by its arguments the server finishes nothing: {given}")
    _ = trial_run.kernels
    with ExitStack() as hold:
        streams = begin(healthy_server, trial_run.prompts[:STREAMS], hold)
        ending = Task(lambda: healthy_server.server.stop(seconds + _END_SECONDS))
        started = time.monotonic()
        time.sleep(_TOLD_SECONDS)
    note("new-requests", _await_refusal(healthy_server, seconds))
    for stream in streams:
        stream.expect_whole(seconds + _END_SECONDS)
    stopped = ending.result(2 * (seconds + _END_SECONDS), "an end of the server")
    took = time.monotonic() - started
    note("drained-in", f"{took:.1f} s")
    expect_that(
        f"exit code 0 or 143 within {seconds + _END_SECONDS:g} s",
        stopped.is_sane and took <= seconds + _END_SECONDS,
        f"{stopped.exit_code} after {took:.1f} s",
    )
    expect_that("nothing left behind", not stopped.left, ", ".join(stopped.left))


def _await_refusal(server: LiveServer, seconds: float) -> str:
    """How new requests are refused once the server was asked to end. Raises Mismatch if they are not."""
    deadline, status = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        try:
            status = _short(server, 0)
        except httpx2.HTTPError as error:
            return type(error).__name__
        if status in {429, *range(500, 600)}:
            return f"status {status}"
        time.sleep(0.1)
    raise Mismatch(f"new requests refused within {seconds:g} s", f"status {status}")
