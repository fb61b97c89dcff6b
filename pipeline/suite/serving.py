"""A trial with vLLM: its servers, and the answers of Transformers to the same prompts."""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from pipeline.adapters import leases
from pipeline.compat import server_arguments
from pipeline.suite import device, golden
from pipeline.suite.dtypes import BEST, EXACT, Dtype, served
from pipeline.suite.expect import Task, within
from pipeline.suite.kept import Keeper
from pipeline.suite.live_server import LiveServer
from pipeline.suite.model import digest_of, locate
from pipeline.suite.targets.target import LIMITS, Limit
from pipeline.suite.trial_run import TrialRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Trial

SERVED = "under-test"
"""The name of the model at the server."""
EDGE_STEPS = 8
"""Tokens of the answer to the shortest prompt, and to the longest ones."""
USER_STEPS = 16
"""Tokens for each prompt if the model is the user's own: its reference runs on the CPU."""

BOUNDED_CONTEXT, BLOCK = 448, 32
"""The context of the bounded server and what a block of its cache holds, in tokens."""
EDGES = (1, BOUNDED_CONTEXT - EDGE_STEPS, 1024 - EDGE_STEPS)
"""Tokens of these prompts: the second one fills with its answer the context of the bounded server."""
BLOCKS = BOUNDED_CONTEXT // BLOCK + 2
"""Blocks of the bounded server's cache: for one request of the whole context, and two more."""
RUNNING, QUEUED = 4, 4
"""How many requests the bounded server runs at once, and how many it takes before it refuses more."""
TOOL_PARSER = "hermes"
"""How the bounded server writes a call of a tool into a text: by tags, which need no tokens of their own."""
QUEUE_OPTION = "--max-num-queued-reqs"
STARTS_OF_OTHERS = 2
"""A server waits for others that start on the same GPU as long as so many starts may take."""
_END_SECONDS = 10.0


class Serving(TrialRun):
    """Starts the server and the probes at the same time; waits when needed.

    Three servers, one after the other, because several at once are too much for a small machine:

    production  as the image is shipped: its entrypoint, environment, user and default arguments, and nothing
                beside the model, its name and the port; its caches are empty
    hardened    the same again, on the caches that the first one left, without a network, on a read-only root,
                as a user of whom it knows nothing; an environment on this machine is only started again
    bounded     in float32 without compilation, with few cache blocks, a short queue, a key, a parser of tools
    """

    def __init__(self, trial: Trial, log: Path) -> None:
        super().__init__(trial)
        committed = golden.read()
        is_tiny = digest_of(locate(trial.model).folder) == committed.model
        self.golden = committed if is_tiny else None
        self.steps = golden.STEPS if is_tiny else USER_STEPS
        self.prompts = tuple(answer.prompt for answer in committed.answers)
        self._log, self._servers, self.keeper = log, dict[str, LiveServer](), Keeper(log)
        try:
            device.expect_room(self.gpus, trial.gpu_memory)
            self.production = self._start("production", self._served, log)
        except BaseException:
            self.close()
            raise
        self._reference = Task(self._compute_reference)

    @cached_property
    def kernels(self) -> frozenset[str]:
        """The files of code that the server of production has compiled; asked for while it runs."""
        return frozenset(self.production.probe("kernels"))

    @cached_property
    def hardened(self) -> LiveServer:
        """The second server, started when it is first asked for."""
        self.production.require_up()
        if self.production.server.ended() is None:
            _ = self.kernels
            self.end(self.production)
        return self._start("hardened", self._served, self._log_of("hardened"), limits=self._limits)

    @cached_property
    def bounded(self) -> LiveServer:
        """The third server, started when it is first asked for."""
        self.production.require_up()
        self.end_all()
        words = (
            *("--enforce-eager", "--dtype", EXACT),
            *("--max-model-len", f"{BOUNDED_CONTEXT}"),
            *("--block-size", f"{BLOCK}"),
            *("--num-gpu-blocks-override", f"{BLOCKS}"),
            *("--max-num-seqs", f"{RUNNING}"),
            *("--enable-auto-tool-choice", "--tool-call-parser", TOOL_PARSER),
            *((QUEUE_OPTION, f"{QUEUED}") if self.has_queue_bound else ()),
        )
        key = secrets.token_hex(16)
        return self._start("bounded", EXACT, self._log_of(EXACT), *words, "--api-key", key, key=key)

    def limited(self, limit: Limit) -> LiveServer:
        """A server within this limit: the hardened one or, where that is not healthy, one within it alone."""
        if self.hardened.comes_up():
            return self.hardened
        self.end(self.hardened)
        server = self._start(limit, self._served, self._log_of(limit), limits=frozenset({limit}))
        try:
            server.await_health()
        finally:
            if not server.is_up:
                self.end(server)
        return server

    def end(self, server: LiveServer) -> None:
        """End a server that still runs; one that is not healthy yet hangs, so what is known of it is kept.

        Raises Mismatch if it does not end in time.
        """
        if server.server.ended() is None:
            if not server.is_up:
                self.keep()
            seconds = self.trial.shutdown_seconds
            within(2 * seconds + _END_SECONDS, "an end of the server", lambda: server.server.stop(seconds))
        server.started()

    def end_all(self) -> None:
        """End every server that still runs. Raises Mismatch if one does not end in time."""
        for server in self._servers.values():
            self.end(server)

    def keep(self) -> str:
        """Keep what is known of each server that runs; the folder, from that of the log, if there is one."""
        self.keeper.keep(self._servers)
        return self.keeper.place

    @cached_property
    def has_queue_bound(self) -> bool:
        """Whether this vLLM can bound its queue itself."""
        return QUEUE_OPTION in self.facts()["vllm"].get("options", ())

    def reference(self) -> Any:
        """The result of ``probes/reference.py``."""
        return self._reference.result(2 * self.trial.healthy_seconds, "the answers of Transformers")

    def close(self) -> None:
        """End all that was started."""
        super().close()
        for server in self._servers.values():
            server.close()

    @property
    def _limits(self) -> frozenset[Limit]:
        return LIMITS if self.target.isolates else frozenset()

    @property
    def _served(self) -> Dtype:
        """The number type of the image's own arguments; else what production serves such a cell in."""
        named = server_arguments.value_of("--dtype", (*self.target.arguments(), *self.trial.serve))
        known = {"half": "float16", "float": "float32"}.get(named or "", named)
        return known if known in get_args(Dtype) else served(self.trial.cell)  # type: ignore[return-value]

    def _log_of(self, name: str) -> Path:
        return self._log.with_suffix(f".{name}{self._log.suffix}")

    def _start(
        self,
        name: str,
        dtype: Dtype,
        log: Path,
        *words: str,
        limits: frozenset[Limit] = frozenset(),
        key: str = "none",
    ) -> LiveServer:
        named = ("--model", self.target.model, "--served-model-name", SERVED)
        arguments = (*named, *words, *self.trial.serve)
        with self._alone() as alone:
            process = self.target.serve(arguments, log, limits=limits)
            server = LiveServer(self.trial, process, dtype, key, starting=alone.pop_all())
        self._servers[name] = server
        return server

    @contextmanager
    def _alone(self) -> Iterator[ExitStack]:
        """Nobody else starts a server on these GPUs until the stack is closed: each measures what is free.

        Raises MachineError where another takes too long for that.
        """
        seconds = STARTS_OF_OTHERS * self.trial.healthy_seconds
        with ExitStack() as held:
            for uuid in sorted(device.uuid for device in self.gpus):
                held.enter_context(leases.lease(leases.start_on_gpu(uuid), seconds=seconds))
            yield held

    def _compute_reference(self) -> Any:
        # After the facts: on a small machine three loads of torch at once would starve the server.
        self.await_facts()
        question = {
            "prompts": self.prompts,
            "steps": self.steps,
            "messages": [{"role": "user", "content": golden.MESSAGE}],
            "chat_steps": golden.CHAT_STEPS,
            "best": BEST,
            "edges": EDGES,
            "edge_steps": EDGE_STEPS,
        }
        return self.probe("reference", self.target.model, json.dumps(question))
