"""Continuous batching and the cache behind it: what many requests get, and what is left of them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pipeline.suite import device
from pipeline.suite.answers import answer_of, complete, question, tokens_of
from pipeline.suite.expect import Task, expect, expect_that, expect_tokens
from pipeline.suite.golden import STEPS
from pipeline.suite.holding import ACCEPTED_SECONDS, begin
from pipeline.suite.metrics import prefix_hits, settle, work_done
from pipeline.suite.serving import SERVED

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from openai import OpenAI

    from pipeline.suite.answers import Answer
    from pipeline.suite.checks import Note
    from pipeline.suite.live_server import LiveServer
    from pipeline.suite.serving import Serving

SHARED = 0.75
"""Steps per token below which requests must have run together; alone it is 1."""
SHORT, LONG = 32, 640
"""Tokens of an answer that joins another, and of one that nobody waits for."""


def check_batch(trial_run: Serving, healthy_server: LiveServer, note: Note) -> None:
    """Requests that run together are each answered as if alone, for less than they cost one by one.

    One that comes while another is answered joins it. A prompt that was read before is found in the cache,
    and answered the same. Afterwards, and when a client goes away, no block of the cache is held.

    The engine's count of steps shows that they ran together: alone, each token takes a step of its own. A
    gauge of running requests would have to be read at the right moment, and a busy server answers late.

    A pass does not say how many requests the server bears, or how much faster it is for all of them together.
    """
    started = time.monotonic()
    asked = (healthy_server.ask("an answer", _long_question(prompt)) for prompt in trial_run.prompts)
    alone = [answer_of(answer.choices[0]) for answer in asked]
    note("seconds-one-by-one", f"{time.monotonic() - started:.2f}")
    started = time.monotonic()
    _expect_together(trial_run, healthy_server, alone)
    note("seconds-together", f"{time.monotonic() - started:.2f}")
    _expect_joining(trial_run, healthy_server)
    _expect_freed(healthy_server)
    _expect_prefix(trial_run, healthy_server, alone[-1], note)


def _expect_together(trial_run: Serving, server: LiveServer, alone: list[Answer]) -> None:
    """Send all prompts at once and expect the same answers as alone, in fewer steps.

    They come in one request, which has a part for each: a small machine's server may look at the second of
    several requests only when the first one is answered. Where the server itself was almost undecided,
    requests beside it may lead to another token, and then to another answer; the tiny model never is.
    """
    settle(server)
    before = work_done(server)
    choices = server.ask("the answers", _long_question(list(trial_run.prompts))).choices
    expect("answers to prompts sent together:", len(alone), len(choices))
    for index, answer in enumerate(alone):
        tokens = tokens_of(choices[index])
        count = answer.clear_until(server.dtype)
        expect(f"prompt {index + 1} beside others: number of tokens", len(answer.tokens), len(tokens))
        expect_tokens(f"prompt {index + 1} beside others", answer.tokens[:count], tokens[:count])
    tokens_done, steps = _work_since(server, before)
    expect("tokens generated:", sum(len(answer.tokens) for answer in alone), tokens_done)
    seen = f"{steps:g} steps for {tokens_done:g} tokens"
    expect_that("requests running together, several tokens in a step", steps < SHARED * tokens_done, seen)


def _work_since(server: LiveServer, before: tuple[float, float]) -> tuple[float, float]:
    """Tokens and steps since then, once nothing is left to do."""
    settle(server)
    tokens, steps = (now - then for now, then in zip(work_done(server), before, strict=True))
    return tokens, steps


def _long_question(prompt: str | list[str]) -> Callable[[OpenAI], Any]:
    return question(prompt, STEPS, ignore_eos=True)


def _expect_joining(trial_run: Serving, server: LiveServer) -> None:
    """A short answer comes while a long one is still being made, and takes nothing from it."""
    first, second = trial_run.prompts[:2]
    with ExitStack() as hold:
        streams = begin(server, [first], hold)
        before = work_done(server)
        asked = Task(lambda: server.ask("an answer", lambda client: complete(client, second, SHORT)))
        time.sleep(ACCEPTED_SECONDS)
    asked.result(server.trial.answer_seconds, "an answer that joins another")
    for stream in streams:
        stream.expect_whole(server.trial.answer_seconds)
    tokens, steps = _work_since(server, before)
    shared = tokens - steps
    expect_that("a request that comes later joins the one that runs", shared > 0, "it waited for its end")


def _expect_freed(server: LiveServer) -> None:
    """A client that goes away takes its request with it."""
    asked = {"model": SERVED, "prompt": "Hi", "max_tokens": LONG, "ignore_eos": True, "stream": True}
    with server.stream("/v1/completions", asked) as response:
        next(response.iter_lines(), None)
    settle(server)


def _expect_prefix(trial_run: Serving, server: LiveServer, own: Answer, note: Note) -> None:
    """The longest prompt, asked again, is found in the cache and answered the same, if prompts are cached."""
    before = prefix_hits(server)
    again = answer_of(server.ask("an answer", _long_question(trial_run.prompts[-1])).choices[0])
    expect_tokens("a prompt that was read before", own.tokens, again.tokens)
    hits = prefix_hits(server) - before
    is_on = device.cache_config(server.get("/metrics")).get("enable_prefix_caching") != "False"
    note("prefix-cached-tokens", f"{hits:g}" if is_on else "off")
    expect_that("tokens of a prompt found in the cache", hits > 0 or not is_on, f"{hits:g}")
