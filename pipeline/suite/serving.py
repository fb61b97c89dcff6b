"""A trial with vLLM: its servers, and the answers of Transformers to the same prompts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.suite import device, golden
from pipeline.suite.dtypes import BEST, EXACT, Dtype, served
from pipeline.suite.expect import Task
from pipeline.suite.live_server import LiveServer
from pipeline.suite.model import digest_of, locate
from pipeline.suite.trial_run import TrialRun

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Trial

SERVED = "under-test"
"""The name of the model at the server."""
CONTEXT = 512
"""The maximum context length that the server is given, in tokens."""
SEQUENCES = 16
USER_STEPS = 16
"""Tokens for each prompt if the model is the user's own: its reference runs on the CPU."""


class Serving(TrialRun):
    """Starts the server and the probes at the same time; waits when needed.

    ``production`` is the server as it is served: in the number type of production, and all else by vLLM's own
    choice. A second one, for exactness, is started where the first has ended: both at once are too much for a
    small machine.
    """

    def __init__(self, trial: Trial, log: Path) -> None:
        super().__init__(trial, log)
        committed = golden.read()
        is_tiny = digest_of(locate(trial.model).folder) == committed.model
        self.golden = committed if is_tiny else None
        self.steps = golden.STEPS if is_tiny else USER_STEPS
        self.prompts = tuple(answer.prompt for answer in committed.answers)
        self._log, self._servers = log, list[LiveServer]()
        try:
            device.expect_room(self.gpus, trial.gpu_memory)
            self.production = self._start(served(trial.cell), log)
        except BaseException:
            self.close()
            raise
        self._reference = Task(self._compute_reference)

    def exact_server(self) -> LiveServer:
        """A server in float32, started now; it compiles nothing, which the server of production does."""
        log = self._log.with_suffix(f".{EXACT}{self._log.suffix}")
        return self._start(EXACT, log, "--enforce-eager")

    def reference(self) -> Any:
        """The result of ``probes/reference.py``."""
        return self._reference.result(2 * self.trial.healthy_seconds, "the answers of Transformers")

    def close(self) -> None:
        """End all that was started."""
        super().close()
        for server in self._servers:
            server.close()

    def _start(self, dtype: Dtype, log: Path, *more: str) -> LiveServer:
        arguments = (
            *("--model", self.target.model),
            *("--served-model-name", SERVED),
            *("--dtype", dtype),
            *("--max-model-len", f"{CONTEXT}"),
            *("--max-num-seqs", f"{SEQUENCES}"),
            *(
                ("--gpu-memory-utilization", f"{self.trial.gpu_memory:g}")
                if self.trial.cell.needs_gpu
                else ()
            ),
            *more,
            *self.trial.serve,
        )
        server = LiveServer(self.trial, self.target.serve(arguments, log), dtype)
        self._servers.append(server)
        return server

    def _compute_reference(self) -> Any:
        # After the facts: on a small machine three loads of torch at once would starve the server.
        self.await_facts()
        question = {
            "prompts": self.prompts,
            "steps": self.steps,
            "messages": [{"role": "user", "content": golden.MESSAGE}],
            "chat_steps": golden.CHAT_STEPS,
            "best": BEST,
        }
        return self.probe("reference", self.target.model, json.dumps(question))
