"""Continuous batching and the cache behind it: what many requests get, and what is left of them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from pipeline.suite import device
from pipeline.suite.answers import answer_of, complete, question, tokens_of
from pipeline.suite.expect import Mismatch, Task, expect, expect_that, expect_tokens
from pipeline.suite.golden import STEPS
from pipeline.suite.metrics import prefix_hits, settle, work_done
from pipeline.suite.serving import SERVED
from pipeline.suite.streams import Stream

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
SHORT, LONG = 4, 640
"""Tokens of an answer that joins, and of the one that it joins."""
_LENGTHS = (*[STEPS] * 5, 4 * STEPS, 16 * STEPS)
"""Tokens of answers that are asked for together, until some ran together: short ones end too soon to meet."""
_ROUNDS = 10
"""How often a short answer is asked for beside a long one, which is twice as long after every third time."""


def check_batch(trial_run: Serving, healthy_server: LiveServer, note: Note) -> None:
    """Requests that run together are each answered as if alone, for less than they cost one by one.

    One that comes while another is answered joins it. A prompt that was read before is found in the cache,
    and answered the same. Afterwards, and when a client goes away, no block of the cache is held.

    The engine's count of steps shows that they ran together: alone, each token takes a step of its own. A
    gauge of running requests would have to be read at the right moment, and a busy server answers late.
    On a machine with few cores, requests that were sent together may still be processed one by one, so they
    are sent again, a few times, at last for longer answers, until some ran together.

    A pass does not say how many requests the server bears, or how much faster it is for all of them together.
    """
    alone: dict[int, list[Answer]] = {}
    for length in _LENGTHS:
        started = time.monotonic()
        if length not in alone:
            alone[length] = _ask_one_by_one(trial_run, healthy_server, length)
            note("seconds-one-by-one", f"{time.monotonic() - started:.2f}")
            started = time.monotonic()
        tokens, steps = _ask_together(trial_run, healthy_server, alone[length], length)
        if steps < SHARED * tokens:
            break
    note("seconds-together", f"{time.monotonic() - started:.2f}")
    expect_that(
        "requests running together, several tokens in a step",
        steps < SHARED * tokens,
        f"{steps:g} steps for {tokens:g} tokens, in the last of {len(_LENGTHS)} rounds",
    )
    _expect_joining(trial_run, healthy_server)
    _expect_freed(healthy_server)
    _expect_prefix(trial_run, healthy_server, alone[STEPS][-1], note)


def _ask_one_by_one(trial_run: Serving, server: LiveServer, length: int) -> list[Answer]:
    asked = (server.ask("an answer", _long_question(prompt, length)) for prompt in trial_run.prompts)
    return [answer_of(answer.choices[0]) for answer in asked]


def _ask_together(
    trial_run: Serving, server: LiveServer, alone: list[Answer], length: int
) -> tuple[float, float]:
    """Send all prompts at once and expect the same answers as alone; return the tokens and the steps.

    Where the server itself was almost undecided, requests beside it may lead to another token, and then to
    another answer; the tiny model never is.
    """
    settle(server)
    before = work_done(server)
    asked = [partial(server.ask, "an answer", _long_question(prompt, length)) for prompt in trial_run.prompts]
    tasks = [Task(ask) for ask in asked]
    for index, (task, answer) in enumerate(zip(tasks, alone, strict=True)):
        tokens = tokens_of(task.result(server.trial.answer_seconds, "an answer").choices[0])
        count = answer.clear_until(server.dtype)
        expect(f"prompt {index + 1} beside others: number of tokens", len(answer.tokens), len(tokens))
        expect_tokens(f"prompt {index + 1} beside others", answer.tokens[:count], tokens[:count])
    settle(server)
    tokens_done, steps = (now - then for now, then in zip(work_done(server), before, strict=True))
    expect("tokens generated:", sum(len(answer.tokens) for answer in alone), tokens_done)
    return tokens_done, steps


def _long_question(prompt: str, length: int = STEPS) -> Callable[[OpenAI], Any]:
    return question(prompt, length, ignore_eos=True)


def _expect_joining(trial_run: Serving, server: LiveServer) -> None:
    """A short answer comes while a long one is still being made, and takes nothing from it.

    On a busy machine the long one may have ended before the short one was asked for, so they are asked again.
    """
    first, second = trial_run.prompts[:2]
    most = server.context() // 2
    for number in range(_ROUNDS):
        stream = Stream(server, first, min(LONG << number // 3, most))
        stream.await_begin()
        server.ask("an answer", lambda client: complete(client, second, SHORT))
        has_joined = stream.runs()
        stream.expect_whole(server.trial.answer_seconds)
        if has_joined:
            return
    expected = "a request that comes later joins the one that runs"
    raise Mismatch(expected, f"it waited for its end, in each of {_ROUNDS} rounds")


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
