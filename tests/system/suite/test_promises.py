"""A real server keeps what its API promises; behind a proxy that lies each promise is seen broken."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.suite import tiny_model
from pipeline.suite.checks import check_exposure
from pipeline.suite.checks.check_openai import PROMISES, check_openai
from pipeline.suite.checks.check_tools import check_tools
from pipeline.suite.expect import Mismatch
from pipeline.suite.live_server import LiveServer
from pipeline.suite.serving import TOOL_PARSER, Serving
from tests.system.suite.lying_proxy import Lie, lying
from tests.system.suite.trials import trial_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.model import Lock

    Behind = Callable[[Lie], LiveServer]

pytestmark = pytest.mark.needs("index")

KEY = "none"
"""What the suite's client sends to a server that wants no key: this one wants it."""


class Proxied:
    """A server, asked through a proxy."""

    def __init__(self, server: Any, base_url: str) -> None:
        self.base_url, self._server = base_url, server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


@pytest.fixture(scope="module")
def trial_run(locked: tuple[Path, Lock], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A trial whose server of production is up; it compiles nothing, so that it is up sooner."""
    folder = tmp_path_factory.mktemp("promises")
    tiny_model.write(folder / "model")
    patient = {"healthy_seconds": 600.0, "answer_seconds": 240.0, "shutdown_seconds": 30.0}
    serve = (
        "--enforce-eager",
        "--api-key",
        KEY,
        "--enable-auto-tool-choice",
        "--tool-call-parser",
        TOOL_PARSER,
    )
    trial = trial_of(locked[0], str(folder / "model"), serve=serve, **patient)
    trial_run = Serving(trial, folder / "server.log")
    try:
        trial_run.production.await_health()
        yield trial_run
    finally:
        trial_run.close()


@pytest.fixture
def behind(trial_run: Serving) -> Iterator[Callable[[Lie], LiveServer]]:
    """The same server behind a proxy that lies so."""
    with ExitStack() as proxies:

        def behind(lie: Lie) -> LiveServer:
            production = trial_run.production
            address = proxies.enter_context(lying(production.server.base_url, lie, KEY))
            proxied = LiveServer(trial_run.trial, Proxied(production.server, address), production.dtype)
            return proxies.enter_context(closing(proxied))

        yield behind


def changed(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """Change a body that is JSON, in place; one that is not, or lacks what is changed, stays as it is."""

    def change_of(body: bytes) -> bytes:
        try:
            document = json.loads(body)
            change(document)
        except (ValueError, LookupError, TypeError, AttributeError):
            return body
        return json.dumps(document).encode()

    return change_of


def without(*names: str) -> Callable[[bytes], bytes]:
    """Leave these out of a request."""
    return changed(lambda asked: [asked.pop(name, None) for name in names])


def counts_more(document: Any) -> None:
    document["usage"]["prompt_tokens"] += 1


def answers_twice(document: Any) -> None:
    document["choices"][1]["token_ids"] = document["choices"][0]["token_ids"]


def finds_all_alike(document: Any) -> None:
    for token in document["choices"][0]["logprobs"]["content"]:
        for one in (token, *token["top_logprobs"]):
            one["logprob"] = -0.1


def calls_at_random(document: Any) -> None:
    document["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = "7"


def loses_a_part(body: bytes) -> bytes:
    parts = body.split(b"\n\n")
    return b"\n\n".join([*parts[:3], *parts[4:]]) if body.startswith(b"data:") else body


def renames(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old, new)


LIES = {
    "counts more": (Lie(told=changed(counts_more)), "usage", "prompt 1: tokens of"),
    "no usage in a stream": (
        Lie(told=renames(b'"usage":{', b'"used":{')),
        "stream",
        "the stream's last part",
    ),
    "loses a part": (Lie(told=loses_a_part), "stream", "streamed text"),
    "never stops": (Lie(asked=without("stop")), "stop", "up to '"),
    "no end at a token": (Lie(asked=without("stop_token_ids")), "stop", "end at token"),
    "forgets the seed": (Lie(asked=without("seed")), "seed", "again"),
    "one seed for all": (Lie(asked=changed(lambda asked: asked.update(seed=1))), "seed", "another seed"),
    "finds all alike": (Lie(told=changed(finds_all_alike)), "logprobs", "log-probabilities"),
    "answers twice": (Lie(told=changed(answers_twice)), "several", "two different answers"),
    "ignores the schema": (Lie(asked=without("response_format")), "json-schema", "by a schema"),
    "another error": (Lie(status=lambda status: 400 if status == 404 else status), "errors", "NotFoundError"),
    "an error of text": (Lie(told=changed(lambda told: told.update(error="no"))), "errors", "error object"),
    "another model": (Lie(told=renames(b'"under-test"', b'"another"')), "models", "among the models"),
    "lacks a series": (Lie(told=renames(b"vllm:kv_cache_usage_perc", b"x")), "metrics", "no such metric"),
    "counts nothing": (Lie(told=renames(b"vllm:request_success_total{", b"x{")), "metrics", "success_total"),
}
"""How a server lies, the promise that finds it, and the words."""


def test_a_real_server_keeps_every_promise(trial_run: Serving) -> None:
    """One model alone cannot be asked for: vLLM has no route for it, and that is said."""
    facts: dict[str, str] = {}
    check_openai(trial_run, trial_run.production, facts.__setitem__)
    assert facts["one-model"] == "not run: no route for one model"
    assert facts["kept"] == ", ".join(name for name in PROMISES if name != "one-model")


@pytest.mark.parametrize(("lie", "promise", "words"), LIES.values(), ids=list(LIES))
def test_a_server_that_lies_is_found(
    lie: Lie, promise: str, words: str, trial_run: Serving, behind: Behind
) -> None:
    """By the promise that it breaks; behind a proxy that does not lie it is kept."""
    PROMISES[promise](trial_run, behind(Lie()))
    with pytest.raises(Mismatch, match=words):
        PROMISES[promise](trial_run, behind(lie))


def test_what_a_real_server_opens_without_its_key_is_on_the_list(trial_run: Serving) -> None:
    """So is every path that is named there and has no argument of its own."""
    facts: dict[str, str] = {}
    check_exposure.check_exposure(trial_run, trial_run.production, facts.__setitem__)
    assert {"/health", "/metrics", "/invocations", "/docs"} <= {*facts["open"].split(", ")}
    assert int(facts["guarded"]) > 5


@pytest.mark.parametrize(
    ("opened", "words"),
    [
        ("/v1/completions", r"/v1/completions \(status 405\)"),
        ("/v1", r"/v1/chat/completions \(status 405\)"),
    ],
)
def test_a_route_that_is_opened_is_named(opened: str, words: str, trial_run: Serving, behind: Behind) -> None:
    """By its path, as soon as it answers without the key."""
    with pytest.raises(Mismatch, match=words):
        check_exposure.check_exposure(trial_run, behind(Lie(adds_key=opened)), lambda *_: None)


def test_a_real_server_calls_tools_and_one_that_gives_them_anything_is_found(
    trial_run: Serving, behind: Behind
) -> None:
    """Its arguments are JSON all the same: they do not fit the schema."""
    check_tools(trial_run.production)
    with pytest.raises(Mismatch, match="arguments of a named call"):
        check_tools(behind(Lie(told=changed(calls_at_random))))
