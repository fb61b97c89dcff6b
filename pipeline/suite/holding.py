"""An engine that is held by a signal, so that what is asked meanwhile surely comes amid its work.

Without that it is a race. A small engine on few cores leaves its server hardly any time: what comes while an
answer is made may not be looked at before that is whole. The server of a held engine has all the time.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.model.errors import MachineError
from pipeline.suite import probes
from pipeline.suite.expect import Mismatch, poll
from pipeline.suite.metrics import running
from pipeline.suite.streams import Stream
from pipeline.suite.trial_run import end_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    from pipeline.suite.live_server import LiveServer

ACCEPTED_SECONDS = 0.5
"""After which the server of a held engine has certainly accepted what it was asked, and passed it on."""
_BEGUN_SECONDS, _REPORTED_SECONDS = 0.3, 2.0
"""After which an engine has begun to answer, and its server has read what it says of that."""
_SHORTEST = 256
"""Tokens of the answers that are tried first."""
_CALL_SECONDS = 30.0


@contextmanager
def held(server: LiveServer) -> Iterator[bool]:
    """The engine stands still until the block ends; False where none is seen, and nothing is held."""
    try:
        yield bool(_signal(server, signal.SIGSTOP))
    finally:
        try:
            _signal(server, signal.SIGCONT)
        except (MachineError, Mismatch):
            if server.server.ended() is None:  # where it has, its engine has, too
                raise


def _signal(server: LiveServer, number: signal.Signals) -> Any:
    done = server.server.python(probes.source("engine"), f"{number:d}", seconds=_CALL_SECONDS)
    engines = probes.result(done.stdout)
    if engines is None:
        raise Mismatch(f"{number.name} to the engine", end_of(done))
    return engines


def begin(server: LiveServer, prompts: Sequence[str], hold: ExitStack) -> list[Stream]:
    """An answer to each prompt, all amid their tokens; the engine is held until the stack is closed.

    They are asked for anew, twice as long, until none ends before. Raises Mismatch where they do not run
    together although each takes half of the server's context.
    """
    length, most = _SHORTEST, server.context() // 2
    while True:
        length = min(length, most)
        with held(server):
            streams = [Stream(server, prompt, length) for prompt in prompts]
            time.sleep(ACCEPTED_SECONDS)
        time.sleep(_BEGUN_SECONDS)
        is_held = hold.enter_context(held(server))
        if _are_amid(server, streams, is_held=is_held):
            return streams
        hold.close()
        for stream in streams:
            stream.expect_whole(server.trial.answer_seconds)
        if length == most:
            raise Mismatch(f"{len(streams)} answers that are made at once", f"none, of {length} tokens each")
        length *= 2


def _are_amid(server: LiveServer, streams: list[Stream], *, is_held: bool) -> bool:
    """Whether all are being answered: by what the engine last said, or as far as is seen from here."""
    if is_held:
        return bool(poll(_REPORTED_SECONDS, lambda: running(server) == len(streams)))
    return all(stream.runs() for stream in streams)
