"""The checks of a second server: warm caches, no network, a read-only root, a user that is unknown to it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from pipeline.suite import device
from pipeline.suite.answers import answer_of, question
from pipeline.suite.expect import NotRun, expect, expect_that, expect_tokens, within

if TYPE_CHECKING:
    import pytest

    from pipeline.suite.checks import Note
    from pipeline.suite.live_server import LiveServer
    from pipeline.suite.serving import Serving
    from pipeline.suite.targets.target import Limit

_END_SECONDS = 10.0
_OWN_NETWORK = ["lo"]
_NOT_LOADED = r"Compiling model again due to .*"
"""What vLLM says where it cannot load what it has compiled before (vllm/compilation/decorators.py)."""


def check_cache(trial_run: Serving, request: pytest.FixtureRequest, note: Note) -> None:
    """A second start loads what the first one compiled: it compiles nothing again, and answers as before.

    The seconds of this check count from the second start; those of ``serve`` are of the first.
    """
    server = trial_run.hardened
    seconds = server.await_health()
    request.node.user_properties.append(("seconds", seconds))
    _expect_first_answer(trial_run, server)
    made = trial_run.kernels
    note("compiled-at-first", f"{len(made)}")
    again = sorted(set(server.probe("kernels")) - set(made))
    expect_that("nothing compiled by the second start", not again, ", ".join(again[:5]))
    expect_loaded(server.server.log())


def expect_loaded(log: str) -> None:
    """Raise Mismatch if a server says that it could not load what was compiled before."""
    refused = re.findall(_NOT_LOADED, log)
    expect_that("what the first start compiled, loaded by the second", not refused, "; ".join(refused))


def check_offline(trial_run: Serving) -> None:
    """Without any network the server starts and answers; it is asked from beside it."""
    server = _limited(trial_run, "offline")
    expect("network interfaces:", _OWN_NETWORK, _confines(trial_run, server)["interfaces"])
    _expect_first_answer(trial_run, server)


def check_any_user(trial_run: Serving, note: Note) -> None:
    """A user with a number that the image does not know, in group 0, can start the server and is answered."""
    server = _limited(trial_run, "any_user")
    confines = _confines(trial_run, server)
    expect("the user's entry in passwd:", False, confines["has_entry"])
    expect("its group:", 0, confines["gid"])
    note("user", f"{confines['uid']}")
    _expect_first_answer(trial_run, server)


def check_read_only(trial_run: Serving, note: Note) -> None:
    """On a root that is read-only, but for the places that it declares, the server starts and answers."""
    server = _limited(trial_run, "read_only")
    confines = _confines(trial_run, server)
    expect("folders of programs that can be written to:", [], confines["written"])
    expect("declared places that cannot be written to:", [], confines["not_writable"])
    note("writable", " ".join(trial_run.target.writable()))
    _expect_first_answer(trial_run, server)


def check_shutdown(trial_run: Serving, note: Note) -> None:
    """SIGTERM ends an idle server in time, with a normal exit code; neither process nor memory is left."""
    server = trial_run.hardened
    server.require_up()
    expect("end of the server before it was asked to:", None, server.server.ended())
    seconds, own = server.trial.shutdown_seconds, server.pids()
    started = time.monotonic()
    stopped = within(2 * seconds + _END_SECONDS, "an end of the server", lambda: server.server.stop(seconds))
    took = time.monotonic() - started
    expect_that(
        f"exit code 0 or 143 within {seconds:g} s",
        stopped.is_sane,
        f"{stopped.exit_code} after {took:.1f} s",
    )
    expect_that("nothing left behind", not stopped.left, ", ".join(stopped.left))
    if trial_run.gpus:
        its = device.chosen(trial_run.gpus, trial_run.device_uuid())
        note("memory-after", device.expect_given_back(its, own))


def _limited(trial_run: Serving, limit: Limit) -> LiveServer:
    """A server within this limit that has been healthy."""
    if not trial_run.target.isolates:
        raise NotRun("an environment on this machine has this machine's network, users and files")
    server = trial_run.limited(limit)
    server.require_up()
    return server


def _confines(trial_run: Serving, server: LiveServer) -> Any:
    return server.probe("confines", *trial_run.target.writable())


def _expect_first_answer(trial_run: Serving, server: LiveServer) -> None:
    """The first prompt is answered as Transformers answers it, as far as its choice is clear."""
    reference = trial_run.reference()["answers"][0]
    asked = question(trial_run.prompts[0], trial_run.steps)
    answer = answer_of(server.ask("a completion", asked).choices[0])
    count = answer.clear_until(server.dtype)
    expect_tokens("prompt 1, Transformers", reference["tokens"][:count], answer.tokens[:count])
