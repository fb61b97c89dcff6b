"""The checks of a cell with vLLM that the server of production answers: it runs as the image is shipped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.suite import device
from pipeline.suite.answers import (
    HOT,
    complete,
    converse,
    expect_answers,
    expect_dtype,
    expect_reference,
    question,
    tokens_of,
)
from pipeline.suite.expect import Mismatch, Task, expect, expect_that, expect_tokens
from pipeline.suite.golden import STEPS
from pipeline.suite.serving import SERVED
from pipeline.suite.soundness import expect_seeded

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import pytest
    from openai import OpenAI

    from pipeline.suite.checks import Note
    from pipeline.suite.live_server import LiveServer
    from pipeline.suite.serving import Serving

SHORT = 16
"""Tokens of a short answer."""
STREAMED = (SHORT, 4 * SHORT, 16 * SHORT)
"""Tokens of answers that are streamed until one comes in parts: a busy server gathers some."""


def check_serve(trial_run: Serving, request: pytest.FixtureRequest, note: Note) -> None:
    """The server becomes healthy in time, in the number type that it was asked for.

    The seconds of this check count from the server's start. What vLLM chose for this machine is noted.

    A pass does not say that the server answers anything, only that it says it would.
    """
    server = trial_run.production
    seconds = server.await_health()
    request.node.user_properties.append(("seconds", seconds))
    for name, value in server.choices().items():
        note(name, value)
    expect_dtype(server)


def check_complete(trial_run: Serving, healthy_server: LiveServer) -> None:
    """A completion has the requested length, and comes from the requested model.

    A pass does not say that the answer is the right one: that is asked by ``correct``.
    """
    answer = healthy_server.ask("a completion", lambda client: complete(client, trial_run.prompts[1], SHORT))
    choice = answer.choices[0]
    expect("model", SERVED, answer.model)
    expect_that("text in the answer", bool(choice.text), repr(choice.text))
    expected_counts = {"length": [SHORT], "stop": range(1, SHORT + 1)}.get(choice.finish_reason, [])
    count = answer.usage.completion_tokens if answer.usage else None
    actual = f"{count} tokens, finish_reason {choice.finish_reason}"
    expect_that(f"{SHORT} tokens, finish_reason length", count in expected_counts, actual)


def check_chat(trial_run: Serving, healthy_server: LiveServer) -> None:
    """A chat answer is that of Transformers to the prompt of the model's chat template."""
    answer = healthy_server.ask(
        "a chat answer",
        converse,
    )
    message, reference = answer.choices[0].message, trial_run.reference()["chat"]
    expect("role", "assistant", message.role)
    expect_that("text in the answer", bool(message.content), repr(message.content))
    expect_that("a chat template in the model", reference is not None, "none")
    expect(
        "tokens of the prompt:", len(reference["prompt_tokens"]), answer.usage and answer.usage.prompt_tokens
    )
    tokens = tokens_of(answer.choices[0])
    expect_reference("chat", reference, tokens, healthy_server.dtype)
    if trial_run.golden:
        expect_tokens("chat, golden", trial_run.golden.chat.tokens, tokens)


def check_stream(trial_run: Serving, healthy_server: LiveServer) -> None:
    """A streamed answer comes in several parts, which together are the answer without streaming."""
    for length in STREAMED:
        parts = _streamed(trial_run, healthy_server, length)
        if len(parts) > 1:
            return
    raise Mismatch("more than one part", f"{len(parts)} part")


def _streamed(trial_run: Serving, server: LiveServer, length: int) -> list[str]:
    """The parts of an answer of so many tokens. Raises Mismatch if they are not the whole one."""
    prompt = trial_run.prompts[1]
    whole = server.ask("a completion", lambda client: complete(client, prompt, length)).choices[0].text
    parts = server.ask("a streamed completion", lambda client: _stream(client, prompt, length))
    expect("streamed text", whole, "".join(parts))
    return parts


def check_correct(trial_run: Serving, healthy_server: LiveServer, note: Note) -> None:
    """In the number type of production, answers are those of Transformers, the golden ones, and repeatable.

    So they are to a prompt of one token and to one that fills the tiny model's context. Not all of them are
    empty or loops. Tokens that are drawn with a seed are drawn again with it, and others with another one.

    A pass does not say that every kernel of the image is right: those that the tiny model calls are. Of a
    model of your own, tokens count as far as Transformers is sure of them, and log-probabilities do not.
    """
    expect_answers(trial_run, healthy_server, note)
    expect_seeded("a completion", lambda seed: _drawn(trial_run, healthy_server, seed))


def check_device(trial_run: Serving, healthy_server: LiveServer, note: Note) -> None:
    """Under load the server's process and memory are on the GPU, by the driver; its cache by its metrics."""
    share, watch = trial_run.trial.gpu_memory, device.Watch(trial_run.gpus)
    note("kv-blocks", f"{device.expect_cache(healthy_server.get('/metrics'), share)}")
    with watch.watching():
        tasks = [_start_question(healthy_server, prompt) for prompt in trial_run.prompts]
        for task in tasks:
            task.result(healthy_server.trial.answer_seconds, "an answer")
        own = healthy_server.pids()
    taken = watch.taken(trial_run.device_uuid())
    taken.note(note)
    note("process", device.expect_process(taken, own))
    device.expect_memory(taken, share, own)


def check_limits(healthy_server: LiveServer) -> None:
    """A prompt over the context, bad JSON and an unknown model get 4xx, and the server keeps running.

    A pass does not say that the server bears whatever is sent to it: these three were.
    """
    too_long = "x " * healthy_server.context()
    valid = {"model": SERVED, "prompt": "x", "max_tokens": 1}
    wrong = {
        "a prompt over the context length": json.dumps(valid | {"prompt": too_long}).encode(),
        "bad JSON": b'{"model": ',
        "an unknown model": json.dumps(valid | {"model": "unknown"}).encode(),
    }
    for what, body in wrong.items():
        status = healthy_server.post("/v1/completions", body).status_code
        expect_that(f"4xx for {what}", 400 <= status < 500, status)
    expect(
        "a valid request afterwards:",
        200,
        healthy_server.post("/v1/completions", json.dumps(valid).encode()).status_code,
    )
    expect("end of the server:", None, healthy_server.server.ended())


# -- questions --------------------------------------------------------------------------------------


def _long_question(prompt: str) -> Callable[[OpenAI], Any]:
    return question(prompt, STEPS, ignore_eos=True)


def _drawn(trial_run: Serving, server: LiveServer, seed: int) -> list[int]:
    def drawn(client: OpenAI) -> Any:
        return complete(client, trial_run.prompts[0], SHORT, **HOT, seed=seed)

    return tokens_of(server.ask("a completion of drawn tokens", drawn).choices[0])


def _start_question(server: LiveServer, prompt: str) -> Task[Any]:
    return Task(lambda: server.ask("an answer", _long_question(prompt)))


def _stream(client: OpenAI, prompt: str, steps: int) -> list[str]:
    parts = client.completions.create(
        model=SERVED, prompt=prompt, max_tokens=steps, temperature=0, stream=True
    )
    return [part.choices[0].text for part in parts if part.choices]
