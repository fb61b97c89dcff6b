"""A trial with vLLM: its server, requests to it, and the answers of Transformers to the same prompts."""

from __future__ import annotations

import json
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx
from openai import DefaultHttpxClient, OpenAI

from pipeline.model.errors import MachineError
from pipeline.suite import golden
from pipeline.suite.expect import Mismatch, Task, within
from pipeline.suite.model import digest_of, locate
from pipeline.suite.trial_run import TrialRun, last_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.model import Trial
    from pipeline.suite.expect import T

SERVED = "under-test"
"""The name of the model at the server."""
CONTEXT = 512
"""The maximum context length that the server is given, in tokens."""
SEQUENCES = 16
MESSAGE = "Say which wheel was compiled for which CUDA."
CHAT_STEPS = 24
USER_STEPS = 16
"""Tokens for each prompt if the model is the user's own: its reference runs on the CPU."""

_GLANCE_SECONDS = 5.0
"""The deadline of one request to a server that may never answer."""


class Serving(TrialRun):
    """Starts the server and the probes at the same time, and sends requests; waits when needed."""

    def __init__(self, trial: Trial, log: Path) -> None:
        super().__init__(trial, log)
        committed = golden.read()
        is_tiny = digest_of(locate(trial.model).folder) == committed.model
        self.golden = committed if is_tiny else None
        self.steps = golden.STEPS if is_tiny else USER_STEPS
        self.prompts = tuple(answer.prompt for answer in committed.answers)
        self._not_up: MachineError | Mismatch = Mismatch("a healthy server", "server not up")
        self._is_up = False
        # Our requests bypass any proxy of this machine: the server is on loopback.
        self._http = httpx.Client(trust_env=False)
        self._started = time.monotonic()
        try:
            self.server = self.target.serve(self._server_arguments())
        except BaseException:
            self.close()
            raise
        self._reference = Task(self._compute_reference)

    def reference(self) -> Any:
        """The result of ``probes/reference.py``."""
        return self._reference.result(2 * self.trial.healthy_seconds, "the answers of Transformers")

    def await_health(self) -> float:
        """Wait until the server is healthy; return the seconds since its start.

        Raises Mismatch if it ends, or is not healthy in time.
        """
        try:
            self._await_health()
        except MachineError as error:
            self._not_up = error
            raise
        self._is_up = True
        return time.monotonic() - self._started

    def _await_health(self) -> None:
        answer = "no look taken"
        while (left := self._started + self.trial.healthy_seconds - time.monotonic()) > 0:
            if ended := self.server.ended():
                raise Mismatch("a server that keeps running", f"it {ended}: {last_line(self.server.log())}")
            answer = self._health(min(left, _GLANCE_SECONDS))
            if answer == "status 200":
                return
            time.sleep(0.1)
        expected = f"status 200 at /health within {self.trial.healthy_seconds:g} s"
        raise Mismatch(expected, f"{answer}; log ends: {last_line(self.server.log())}")

    def require_up(self) -> None:
        """Raise Mismatch if the server was never healthy, MachineError if that could not be found out."""
        if not self._is_up:
            raise self._not_up

    def ask(self, what: str, question: Callable[[OpenAI], T]) -> T:
        """Send a request with the official client; its deadline holds whatever the server does."""
        answer = within(self.trial.answer_seconds, what, lambda: question(self._client))
        if isinstance(answer, str):  # the client returns an answer that is not JSON as text
            raise Mismatch(f"{what}, as JSON", repr(answer))
        return answer

    def get(self, path: str) -> str:
        """The body that the server answers at this path."""
        return self._fetch(self.trial.answer_seconds, "GET", path).text

    def post(self, path: str, body: bytes) -> httpx.Response:
        """The server's response to these bytes."""
        return self._fetch(self.trial.answer_seconds, "POST", path, body)

    def close(self) -> None:
        """End all that was started."""
        super().close()
        self._http.close()

    def _health(self, seconds: float) -> str:
        """The result of one request to /health, as text."""
        try:
            return f"status {self._fetch(seconds, 'GET', '/health').status_code}"
        except httpx.HTTPError as error:
            return type(error).__name__
        except Mismatch as error:
            return error.actual

    def _fetch(self, seconds: float, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        """One request, whose deadline holds whatever the server does."""
        url, headers = f"{self.server.base_url}{path}", {"content-type": "application/json"}

        def answer() -> httpx.Response:
            return self._http.request(method, url, content=body, headers=headers, timeout=seconds)

        return within(seconds, f"an answer at {path}", answer)

    @cached_property
    def _client(self) -> OpenAI:
        """The official client; it sends each request only once."""
        seconds, base_url = self.trial.answer_seconds, f"{self.server.base_url}/v1"
        http = DefaultHttpxClient(trust_env=False, follow_redirects=False)
        return OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=seconds, http_client=http)

    def _server_arguments(self) -> tuple[str, ...]:
        return (
            *("--model", self.target.model),
            *("--served-model-name", SERVED),
            *("--dtype", "float32"),
            *("--max-model-len", f"{CONTEXT}"),
            *("--max-num-seqs", f"{SEQUENCES}"),
            *self.trial.serve,
        )

    def _compute_reference(self) -> Any:
        # After the facts: on a small machine three loads of torch at once would starve the server.
        self.await_facts()
        question = {
            "prompts": self.prompts,
            "steps": self.steps,
            "messages": [{"role": "user", "content": MESSAGE}],
            "chat_steps": CHAT_STEPS,
        }
        return self.probe("reference", self.target.model, json.dumps(question))
