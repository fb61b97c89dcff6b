"""The checks of a third server: in float32, with few cache blocks, a short queue and a key."""

from __future__ import annotations

import json
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from pipeline.formats import units
from pipeline.suite.answers import answer_of, expect_answers, expect_dtype, question
from pipeline.suite.expect import Task, expect, expect_that, expect_tokens
from pipeline.suite.holding import ACCEPTED_SECONDS, held
from pipeline.suite.metrics import preemptions, settle
from pipeline.suite.serving import BOUNDED_CONTEXT, QUEUED, RUNNING, SERVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.suite.answers import Answer
    from pipeline.suite.checks import Note
    from pipeline.suite.live_server import LiveServer
    from pipeline.suite.serving import Serving

LONG = BOUNDED_CONTEXT * 2 // 3
"""Tokens of an answer that takes more than half of the cache with its prompt."""

ASKING, SLOW, VANISHING = 24, 2, 2
"""Clients at once: those that wait for their answer, those that read it slowly, those that go away."""
REFUSED = (429, 503)
BUFFER_BYTES = 256 << 20
"""By how much memory may grow in the first overload of all: buffers for requests, 93 MB in vLLM 0.31.0."""
_READ_SECONDS = 0.05
_STREAMED = {"model": SERVED, "prompt": "Hi", "max_tokens": 64, "ignore_eos": True, "stream": True}


def check_exact(trial_run: Serving, note: Note) -> None:
    """In float32, greedy tokens and log-probabilities are the exact ones, but for the order of sums."""
    server = trial_run.bounded
    server.await_health()
    expect_dtype(server)
    expect_answers(trial_run, server, note)


def check_preemption(trial_run: Serving, bounded_server: LiveServer, note: Note) -> None:
    """Requests that together want more cache than there is give way to each other, and answer the same.

    The server's own count shows that they had to.
    """
    settle(bounded_server)
    before = preemptions(bounded_server)
    prompts = trial_run.prompts[:RUNNING]
    alone = [answer for prompt in prompts for answer in _answers(bounded_server, [prompt])]
    together = _answers(bounded_server, prompts)
    for index, (answer, own) in enumerate(zip(together, alone, strict=True)):
        count = own.clear_until(bounded_server.dtype)
        what = f"prompt {index + 1} among others that want its cache"
        expect_tokens(what, own.tokens[:count], answer.tokens[:count])
        expect(f"{what}: number of tokens", len(own.tokens), len(answer.tokens))
    gave_way = preemptions(bounded_server) - before
    note("preemptions", f"{gave_way:g}")
    expect_that("a request that gave its cache to another", gave_way > 0, "none")
    settle(bounded_server)


def _answers(server: LiveServer, prompts: Sequence[str]) -> list[Answer]:
    """The answers to prompts of one request: its server is done with all of them before any is answered."""
    choices = server.ask("answers", question(list(prompts), LONG, ignore_eos=True)).choices
    expect("answers:", len(prompts), len(choices))
    return [answer_of(choice) for choice in choices]


def check_overload(trial_run: Serving, bounded_server: LiveServer, note: Note) -> None:
    """More clients than the server takes wait or are told so, and it is as right afterwards as before.

    Among them are the longest prompts with the longest answers, clients that read slowly, and some that
    vanish. Where this vLLM can bound its queue, what comes when that is full is refused with 429 or 503.

    The bound is not an exact one. vLLM looks for room before it counts a request (check_admission in
    vllm/v1/engine/async_llm.py): of many that come at the same moment all may be let in. So the queue is
    filled first, while the engine is held, and is full when the next ones come.
    """
    before = bounded_server.server.resident_bytes()
    seconds = 2 * bounded_server.trial.answer_seconds
    statuses = _ask_at_once(bounded_server, seconds)
    others = [Task(partial(_read_slowly, bounded_server)) for _ in range(SLOW)]
    others += [Task(partial(_vanish, bounded_server)) for _ in range(VANISHING)]
    statuses += _ask_at_once(bounded_server, seconds)
    for other in others:
        other.result(seconds, "an answer that is read slowly, or not to its end")
    if trial_run.has_queue_bound:
        refused = _ask_in_vain(bounded_server, seconds)
        expect_that("429 or 503 of a full queue", sum(refused[one] for one in REFUSED) > 0, dict(refused))
        statuses += refused
    note("statuses", ", ".join(f"{count} times {status}" for status, count in sorted(statuses.items())))
    others_seen = {status for status in statuses if status not in {200, *REFUSED}}
    expect_that("200, 429 or 503", not others_seen, f"{sorted(others_seen)}")
    expect_that("answers for some", statuses[200] > 0, dict(statuses))
    settle(bounded_server)
    expect("end of the server:", None, bounded_server.server.ended())
    grown = bounded_server.server.resident_bytes() - before
    note("memory-grown", units.size(max(grown, 0)))
    expect_that(f"at most {units.size(BUFFER_BYTES)} more memory", grown <= BUFFER_BYTES, units.size(grown))
    asked = question(trial_run.prompts[0], trial_run.steps)
    answer = answer_of(bounded_server.ask("an answer", asked).choices[0])
    expect_tokens("prompt 1 afterwards", trial_run.reference()["answers"][0]["tokens"], answer.tokens)


def _ask_at_once(server: LiveServer, seconds: float) -> Counter[int]:
    """How often each status was the answer to many requests at once."""
    asking = [Task(partial(_ask, server, number)) for number in range(ASKING)]
    return Counter(task.result(seconds, "an answer or a refusal") for task in asking)


def _ask_in_vain(server: LiveServer, seconds: float) -> Counter[int]:
    """How often each status was the answer to requests that found as many waiting as the server takes."""
    settle(server)
    with held(server):
        waiting = [Task(partial(_ask, server, number)) for number in range(QUEUED)]
        time.sleep(ACCEPTED_SECONDS)
        late = [Task(partial(_ask, server, number)) for number in range(QUEUED)]
        time.sleep(ACCEPTED_SECONDS)
    for task in waiting:
        expect("status of a request that the queue has room for:", 200, task.result(seconds, "an answer"))
    return Counter(task.result(seconds, "an answer or a refusal") for task in late)


def _ask(server: LiveServer, number: int) -> int:
    """The status of a request; every third wants the whole context, half prompt and half answer."""
    is_long = number % 3 == 0
    prompt = f"{number}. " + "x" * (BOUNDED_CONTEXT // 2 if is_long else 8)
    steps = BOUNDED_CONTEXT - len(prompt) - 1 if is_long else 32
    body = {"model": SERVED, "prompt": prompt, "max_tokens": steps, "ignore_eos": True, "temperature": 0}
    return server.post("/v1/completions", json.dumps(body).encode()).status_code


def _read_slowly(server: LiveServer) -> None:
    """Ask for a stream, and take one part of it at a time."""
    with server.stream("/v1/completions", _STREAMED) as response:
        for _ in response.iter_lines():
            time.sleep(_READ_SECONDS)


def _vanish(server: LiveServer) -> None:
    """Ask for a stream, and close the connection at its first part."""
    with server.stream("/v1/completions", _STREAMED) as response:
        next(response.iter_lines(), None)
