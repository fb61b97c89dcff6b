"""A server that was started: its health, requests to it with deadlines, and what it says of itself."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx2
from openai import APITimeoutError, DefaultHttpxClient, OpenAI

from pipeline.model.errors import MachineError
from pipeline.suite import probes
from pipeline.suite.expect import Late, Mismatch, within
from pipeline.suite.trial_run import end_of, last_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.model import Trial
    from pipeline.suite.dtypes import Dtype
    from pipeline.suite.expect import T
    from pipeline.suite.targets.target import Server

_GLANCE_SECONDS = 5.0
"""The deadline of one request to a server that may never answer."""
_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.1, 0.8
"""Between two looks at a server that starts: so long at the least, and at the most."""
_PAUSES_PER_LOOK = 4
"""A look into a container without a network starts a Python there, on processors that the server needs."""
_NOT_LOOKED = "no look taken"

NOT_SAID = "not said"
_CHOICES = {
    "dtype": r"\bdtype=torch\.(\w+)",
    "attention": r"Using (\S+) attention backend",
    "compilation": r"'mode': <CompilationMode\.(\w+)",
    "cuda-graphs": r"'cudagraph_mode': <CUDAGraphMode\.(\w+)",
}
"""What vLLM chose, as its log names it: in the line "Initializing a V1 LLM engine" and at the attention's."""


def is_late(error: BaseException | None) -> bool:
    """Whether a check ended by this because a deadline has passed, ours or that of our client."""
    return isinstance(error, (Late, TimeoutError, httpx2.TimeoutException, APITimeoutError))


class LiveServer:
    """One server of a trial, from its start on; ``key`` is the one that it wants of its clients.

    ``starting`` is what the start needs for itself: given back when the server is healthy, or will not be.
    """

    def __init__(
        self,
        trial: Trial,
        server: Server,
        dtype: Dtype,
        key: str = "none",
        starting: ExitStack | None = None,
    ) -> None:
        self.trial, self.server, self.dtype, self.key = trial, server, dtype, key
        self._starting = starting or ExitStack()
        self._started = time.monotonic()
        self._not_up: MachineError | Mismatch = Mismatch("a healthy server", "server not up")
        self._is_up = self._was_awaited = False
        self._pids: frozenset[int] = frozenset()
        # Our requests bypass any proxy of this machine: the server is on loopback.
        self._http = httpx2.Client(transport=server.http(), trust_env=False)

    def await_health(self) -> float:
        """Wait until the server is healthy; return the seconds since its start.

        Raises Mismatch if it ends, Late if it is not healthy in time.
        """
        self._was_awaited = True
        try:
            self._await_health()
        except MachineError as error:
            self._not_up = error
            raise
        finally:
            self.started()
        self._is_up = True
        return time.monotonic() - self._started

    def _await_health(self) -> None:
        answer = _NOT_LOOKED
        while (left := self._started + self.trial.healthy_seconds - time.monotonic()) > 0:
            if ended := self.server.ended():
                raise Mismatch("a server that keeps running", f"it {ended}: {last_line(self.server.log())}")
            looked = time.monotonic()
            seen = self.health(min(left, _GLANCE_SECONDS))
            if seen == "status 200":
                return
            if left > _GLANCE_SECONDS or answer == _NOT_LOOKED:  # the last look is cut short by the deadline
                answer = seen
            took = time.monotonic() - looked
            time.sleep(min(max(_PAUSE_SECONDS, _PAUSES_PER_LOOK * took), _MOST_PAUSE_SECONDS))
        expected = f"status 200 at /health within {self.trial.healthy_seconds:g} s"
        raise Late(expected, f"{answer}; log ends: {last_line(self.server.log())}")

    def started(self) -> None:
        """The start is over, whatever came of it."""
        self._starting.close()

    @property
    def is_up(self) -> bool:
        """Whether it has been healthy."""
        return self._is_up

    def comes_up(self) -> bool:
        """Whether it is healthy in time. Raises MachineError if that cannot be found out."""
        with suppress(Mismatch):
            self.require_up()
        return self._is_up

    def require_up(self) -> None:
        """Raise Mismatch if the server is not healthy, MachineError if that could not be found out.

        Waits for it where no check has yet: the one that does may be left out. It is waited for once.
        """
        if not self._was_awaited:
            self.await_health()
        if not self._is_up:
            raise self._not_up

    def pids(self) -> frozenset[int]:
        """The numbers of its processes, as this machine counts them; the last ones if it has ended."""
        self._pids = self.server.pids() or self._pids
        return self._pids

    def context(self) -> int:
        """The longest prompt and answer together that it takes, in tokens."""
        models = self.ask("the list of models", lambda client: client.models.list()).data
        context = getattr(models[0], "max_model_len", None) if models else None
        if not isinstance(context, int):
            raise Mismatch("max_model_len in /v1/models", f"{models!r}")
        return context

    def probe(self, name: str, *args: str) -> Any:
        """The result of a probe that runs beside it, as its user. Raises Mismatch if it has none."""
        seconds = self.trial.answer_seconds
        done = self.server.python(probes.source(name), *args, seconds=seconds)
        answer = probes.result(done.stdout)
        if answer is None:
            raise Mismatch(f"a result of the {name} probe within {seconds:g} s", end_of(done))
        return answer

    def choices(self) -> dict[str, str]:
        """What vLLM chose for this machine, by its own log; ``NOT_SAID`` where that does not name it."""
        log = self.server.log()
        found = {name: re.findall(pattern, log) for name, pattern in _CHOICES.items()}
        return {name: values[-1] if values else NOT_SAID for name, values in found.items()}

    def ask(self, what: str, question: Callable[[OpenAI], T]) -> T:
        """Send a request with the official client; its deadline holds whatever the server does."""
        answer = within(self.trial.answer_seconds, what, lambda: question(self.client))
        if isinstance(answer, str):  # the client returns an answer that is not JSON as text
            raise Mismatch(f"{what}, as JSON", repr(answer))
        return answer

    def get(self, path: str) -> str:
        """The body that the server answers at this path."""
        return self._fetch(self.trial.answer_seconds, "GET", path).text

    def post(self, path: str, body: bytes) -> httpx2.Response:
        """The server's response to these bytes."""
        return self._fetch(self.trial.answer_seconds, "POST", path, body)

    def status(self, method: str, path: str, key: str | None = None) -> int:
        """The status of an answer to a request without a body, with this key or with none."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return self._fetch(self.trial.answer_seconds, method, path, headers=headers).status_code

    @contextmanager
    def stream(self, path: str, question: Mapping[str, Any]) -> Iterator[httpx2.Response]:
        """The server's response to a question in JSON, to be read as it comes; closed with the block."""
        seconds, url = self.trial.answer_seconds, f"{self.server.base_url}{path}"
        with self._http.stream(
            "POST", url, json=question, headers=self._headers, timeout=seconds
        ) as response:
            yield response

    def metrics(self, seconds: float) -> str:
        """What it says of itself at /metrics, within these seconds."""
        return self._fetch(seconds, "GET", "/metrics").text

    def close(self) -> None:
        """Close the connections to it, those of the official client too, where it was used."""
        self.started()
        self._http.close()
        if "client" in vars(self):
            self.client.close()

    def health(self, seconds: float = _GLANCE_SECONDS) -> str:
        """The result of one request to /health, as text."""
        try:
            return f"status {self._fetch(seconds, 'GET', '/health').status_code}"
        except httpx2.HTTPError as error:
            return type(error).__name__
        except Mismatch as error:
            return error.actual

    def _fetch(
        self,
        seconds: float,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """One request, whose deadline holds whatever the server does; with its own key by default."""
        url, headers = f"{self.server.base_url}{path}", self._headers if headers is None else headers

        def answer() -> httpx2.Response:
            return self._http.request(method, url, content=body, headers=headers, timeout=seconds)

        return within(seconds, f"an answer at {path}", answer)

    @property
    def _headers(self) -> dict[str, str]:
        return {"content-type": "application/json", "authorization": f"Bearer {self.key}"}

    @cached_property
    def client(self) -> OpenAI:
        """The official client; it sends each request only once."""
        seconds, base_url = self.trial.answer_seconds, f"{self.server.base_url}/v1"
        http = DefaultHttpxClient(transport=self.server.http(), trust_env=False, follow_redirects=False)
        return OpenAI(base_url=base_url, api_key=self.key, max_retries=0, timeout=seconds, http_client=http)
