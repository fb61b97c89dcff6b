"""A server that runs already, over HTTP: what it says of itself, and requests with deadlines.

It has clients of its own, so nothing here is asked that could harm them: a few short requests, at most
:data:`TOGETHER` at a time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import openai
from openai import DefaultHttpxClient, OpenAI
from pydantic import BaseModel, Field, ValidationError

from pipeline.model import Deployment, shown
from pipeline.model.errors import MachineError, UsageError
from pipeline.model.names import LOOPBACK
from pipeline.suite.expect import Late, Mismatch, expect, expect_that, late, within

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from pipeline.suite.expect import T

TOGETHER = 6
"""Requests of ours that a deployment has at the same time, at most."""

MAX_BODY_BYTES = 4 << 20
"""Of an answer that is read as text; a list of models has some kilobytes."""

_MAX_LISTED = 10
"""Models that a message names."""

_CONNECT_SECONDS = 10.0

_HINT = "see whether the address is that of an OpenAI server, and whether it can be reached from here"


class _Card(BaseModel):
    """One model in the list of a server; ``parent`` is what an adapter (LoRA) was made for."""

    id: str = Field(min_length=1, max_length=1000)
    max_model_len: int | None = Field(None, ge=1)
    parent: str | None = None


class _Models(BaseModel):
    data: tuple[_Card, ...]


class _Version(BaseModel):
    version: str = Field(max_length=100)


class Deployed:
    """A deployment that is asked. ``seconds`` is the deadline of one answer; the key is in no record."""

    def __init__(self, url: str, model: str | None, key: str | None, seconds: float) -> None:
        self._url, self._key, self.seconds = address(url), key, seconds
        host = urlsplit(self._url).hostname or ""
        is_here = host in {name.strip("[]") for name in LOOPBACK}
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.trouble: Mismatch | None = None
        self.facts: dict[str, str] = {}
        self.is_silent = False
        self._http = httpx.Client(trust_env=not is_here, headers=headers)  # a proxy is on no way to here
        self._client = OpenAI(
            base_url=f"{self._url}/v1",
            api_key=key or "none",
            max_retries=0,
            timeout=seconds,
            http_client=DefaultHttpxClient(trust_env=not is_here, follow_redirects=False),
        )
        try:
            self.says = self._described(model)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to it."""
        self._http.close()
        self._client.close()

    def note(self, name: str, value: str) -> None:
        """Keep a fact for the line of the check that runs."""
        self.facts[name] = value

    def ask(self, what: str, question: Callable[[OpenAI], T]) -> T:
        """Send a request with the official client, once. Raises Mismatch where it is refused, or late."""
        try:
            answer = self._in_time(what, lambda: question(self._client))
        except openai.OpenAIError as error:
            raise Mismatch(what, f"{type(error).__name__}: {error}") from error
        if isinstance(answer, str):  # the client returns an answer that is not JSON as text
            raise Mismatch(f"{what}, as JSON", repr(answer))
        return answer

    def get(self, path: str) -> httpx.Response:
        """The response at this path. Raises Mismatch where there is none in time."""
        return self._fetch("GET", path)

    def post(self, path: str, body: bytes) -> httpx.Response:
        """The response to these bytes. Raises Mismatch where there is none in time."""
        return self._fetch("POST", path, body)

    def _fetch(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        headers = {"content-type": "application/json"}
        url, seconds = f"{self._url}{path}", self.seconds
        timeout = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))

        def answer() -> httpx.Response:
            with self._http.stream(method, url, content=body, headers=headers, timeout=timeout) as response:
                whole = b""
                for part in response.iter_bytes():
                    whole += part
                    expect_that(
                        f"at most {MAX_BODY_BYTES} bytes at {path}", len(whole) <= MAX_BODY_BYTES, "more"
                    )
                return httpx.Response(response.status_code, content=whole)

        try:
            return self._in_time(f"an answer at {path}", answer)
        except httpx.HTTPError as error:
            raise Mismatch(f"an answer at {path}", f"{type(error).__name__}: {error}") from error

    def _in_time(self, what: str, call: Callable[[], T]) -> T:
        """What the call returns. Where it takes too long, the server is silent, and is asked no more.

        Raises Late then, whichever clock was the first to say so: ours, or that of the client.
        """
        try:
            return within(self.seconds, what, call)
        except (Late, openai.APITimeoutError, httpx.ReadTimeout) as error:
            self.is_silent = True
            raise late(what, self.seconds) from error

    def _described(self, model: str | None) -> Deployment:
        """What it says of itself; why it serves nothing, where that is so, is kept for the first check.

        Raises MachineError where nobody listens, UsageError where it wants a key, or a name of a model.
        """
        try:
            card = self._card(model)
        except Mismatch as error:
            if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
                raise MachineError(f"{self._url} cannot be reached: {error.actual}", hint=_HINT) from error
            self.trouble = error
            return Deployment(self._url, model or "")
        return Deployment(self._url, card.id, self._vllm(), card.max_model_len)

    def _card(self, model: str | None) -> _Card:
        """What it lists of the model. Raises Mismatch where it lists none, UsageError as above."""
        listed = self.get("/v1/models")
        if listed.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN) and not self._key:
            hint = "hand over the key that it wants: --key-file FILE"
            raise UsageError(f"{self._url} answers {listed.status_code} at /v1/models", hint=hint)
        expect("status at /v1/models:", 200, listed.status_code)
        return _chosen(self._url, cards_of(listed.content), model)

    def _vllm(self) -> str:
        """The version that it tells; empty where a gateway hides it, or it is no vLLM."""
        try:
            response = self.get("/version")
            return version_of(response.content) if response.status_code == httpx.codes.OK else ""
        except Mismatch:
            return ""


def address(text: str) -> str:
    """The address of a server, without a slash or ``/v1`` at its end. Raises UsageError for what is none."""
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_one = False
    if not is_one or parts.query or parts.fragment or not text.isprintable() or " " in text:
        hint = "write http://host:port, or https://host/prefix"
        raise UsageError(f"'{shown(text)}' is no address of a server", hint=hint)
    if parts.username is not None or parts.password is not None:
        hint = "hand a key over by --key-file FILE: an address stands in the record"
        raise UsageError("the address has a name or a password in it", hint=hint)
    return text.rstrip("/").removesuffix("/v1").rstrip("/")


def cards_of(body: bytes) -> tuple[_Card, ...]:
    """The models that a server lists. Raises Mismatch where the answer is no such list."""
    try:
        return _Models.model_validate_json(body).data
    except ValidationError as error:
        raise Mismatch("a list of models at /v1/models", shown(body)) from error


def version_of(body: bytes) -> str:
    """The version in the answer at ``/version``; empty where there is none."""
    try:
        return shown(_Version.model_validate_json(body).version)
    except ValidationError:
        return ""


def _chosen(url: str, cards: tuple[_Card, ...], model: str | None) -> _Card:
    """The model of this name; without one the only one that is no adapter.

    Raises Mismatch where it is not there, UsageError where there are several to choose from.
    """
    listed = ", ".join(shown(card.id) for card in cards[:_MAX_LISTED]) or "none"
    found = [card for card in cards if (card.id == model if model else card.parent is None)]
    expect_that(f"the model {shown(model or '')}".rstrip() + " in /v1/models", bool(found), listed)
    if len(found) > 1 and not model:
        hint = f"name one of them by --model NAME: {listed}"
        raise UsageError(f"{url} serves {len(found)} models", hint=hint)
    return found[0]


def completion(model: str, prompt: Any, steps: int, **more: Any) -> bytes:
    """The body of a request for a greedy completion."""
    asked = {"model": model, "prompt": prompt, "max_tokens": steps, "temperature": 0, **more}
    return json.dumps(asked).encode()
