"""The measurement of a server's speed: how soon the first token comes, how many come in a second."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from pipeline.model.speeds import FIRST_TOKEN, RATE_ALONE, RATE_TOGETHER, Speed
from pipeline.suite.expect import Task, expect_that
from pipeline.suite.serving import SERVED

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI

    from pipeline.suite.checks import Note
    from pipeline.suite.live_server import LiveServer

TOGETHER = 16
"""Requests that run at the same time."""
STEPS = 96
"""Tokens of an answer."""
ROUNDS = 9
"""How often each is measured at the most; the first time of all is not counted."""
LEAST_ROUNDS = 3
SECONDS = 10.0
"""After which no further round begins: a slow server has fewer of them."""


def check_speed(healthy_server: LiveServer, note: Note) -> None:
    """The time to a first token, and tokens per second alone and at 16 together, are measured and recorded.

    The median of several rounds and its quartiles; a round is one request alone, then 16 together. Slowness
    fails nothing here: `verify: speed:` of the matrix compares it with the image that was proven before.

    A pass does not say that the server is fast, nor how fast a larger model would be.
    """
    seen: dict[str, list[float]] = {FIRST_TOKEN: [], RATE_ALONE: [], RATE_TOGETHER: []}
    _round(healthy_server, 0)  # the first one pays for what is made on demand
    started, number = time.monotonic(), 0
    while number < LEAST_ROUNDS or (number < ROUNDS and time.monotonic() - started < SECONDS):
        number += 1
        for name, value in _round(healthy_server, number).items():
            seen[name].append(value)
    for name, values in seen.items():
        note(name, str(Speed.of(values)))


def _round(server: LiveServer, number: int) -> dict[str, float]:
    """Seconds to the first token and tokens per second of one request, and tokens per second of many."""
    first, alone = _timed(server, [f"{number} alone"])
    _, together = _timed(server, [f"{number} among {other}" for other in range(TOGETHER)])
    return {FIRST_TOKEN: first, RATE_ALONE: alone, RATE_TOGETHER: together}


def _timed(server: LiveServer, names: list[str]) -> tuple[float, float]:
    """Ask so many at once: seconds until the first of their tokens, and their tokens per second."""
    started = time.monotonic()
    tasks = [Task(partial(server.ask, "an answer", _question(name))) for name in names]
    ends = [task.result(server.trial.answer_seconds, "an answer") for task in tasks]
    first = min(at for at, _ in ends) - started
    return first, sum(tokens for _, tokens in ends) / (time.monotonic() - started)


def _question(name: str) -> Callable[[OpenAI], tuple[float, int]]:
    """Stream one answer: when its first part came, and its tokens.

    Prompts differ from their first letter on, so that none finds another's in the prefix cache.
    """

    def ask(client: OpenAI) -> tuple[float, int]:
        first, tokens = 0.0, 0
        for part in client.completions.create(
            model=SERVED,
            prompt=f"{name}: ",
            max_tokens=STEPS,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True},
        ):
            first = first or time.monotonic()
            tokens = part.usage.completion_tokens if part.usage else tokens
        expect_that(f"{STEPS} tokens of an answer", tokens == STEPS, tokens)
        return first, tokens

    return ask
