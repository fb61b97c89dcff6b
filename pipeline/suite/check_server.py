"""The checks of a cell with vLLM, in this order. They share one server; the last one ends it."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from pipeline.suite.expect import Mismatch, Task, expect, expect_that, expect_tokens, poll, within
from pipeline.suite.golden import MARGIN
from pipeline.suite.serving import CHAT_STEPS, CONTEXT, MESSAGE, SERVED, Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest
    from openai import OpenAI

SHORT = 16
"""Tokens of a short answer."""
LONG = 160
"""Tokens of an answer that runs long enough to overlap with others."""
SHARED = 0.75
"""Steps per token below which requests must have run together; alone it is 1."""
_SETTLE_SECONDS = 10.0
_ROUNDS = 10
"""How often prompts are sent together before the check fails because none ran together."""


def check_serve(trial_run: Serving, request: pytest.FixtureRequest) -> None:
    """The server becomes healthy in time. The seconds of this check count from the server's start."""
    seconds = trial_run.await_health()
    request.node.user_properties.append(("seconds", seconds))


def check_complete(healthy_server: Serving) -> None:
    """A completion has the requested length, and comes from the requested model."""
    answer = healthy_server.ask(
        "a completion", lambda client: _complete(client, healthy_server.prompts[1], SHORT)
    )
    choice = answer.choices[0]
    expect("model", SERVED, answer.model)
    expect_that("text in the answer", bool(choice.text), repr(choice.text))
    expected_counts = {"length": [SHORT], "stop": range(1, SHORT + 1)}.get(choice.finish_reason, [])
    count = answer.usage.completion_tokens if answer.usage else None
    actual = f"{count} tokens, finish_reason {choice.finish_reason}"
    expect_that(f"{SHORT} tokens, finish_reason length", count in expected_counts, actual)


def check_chat(healthy_server: Serving) -> None:
    """A chat answer is that of Transformers to the prompt of the model's chat template."""
    answer = healthy_server.ask(
        "a chat answer",
        lambda client: client.chat.completions.create(
            model=SERVED,
            messages=[{"role": "user", "content": MESSAGE}],
            max_completion_tokens=CHAT_STEPS,
            temperature=0,
            extra_body={"return_token_ids": True},
        ),
    )
    message, reference = answer.choices[0].message, healthy_server.reference()["chat"]
    expect("role", "assistant", message.role)
    expect_that("text in the answer", bool(message.content), repr(message.content))
    expect_that("a chat template in the model", reference is not None, "none")
    expect(
        "tokens of the prompt:", len(reference["prompt_tokens"]), answer.usage and answer.usage.prompt_tokens
    )
    _expect_reference("chat", reference, _tokens(answer.choices[0]))


def check_stream(healthy_server: Serving) -> None:
    """A streamed answer comes in several parts, which together are the answer without streaming."""
    prompt = healthy_server.prompts[1]
    whole = (
        healthy_server.ask("a completion", lambda client: _complete(client, prompt, SHORT)).choices[0].text
    )
    parts = healthy_server.ask("a streamed completion", lambda client: _stream(client, prompt, SHORT))
    expect_that("more than one part", len(parts) > 1, f"{len(parts)} part")
    expect("streamed text", whole, "".join(parts))


def check_correct(healthy_server: Serving) -> None:
    """Greedy tokens are those of Transformers on the same weights, and the golden ones of the tiny model."""
    reference = healthy_server.reference()["answers"]
    for index, prompt in enumerate(healthy_server.prompts):
        answer = healthy_server.ask("a completion", _question(prompt, healthy_server.steps))
        tokens = _tokens(answer.choices[0])
        what = f"prompt {index + 1}"
        _expect_reference(what, reference[index], tokens)
        if healthy_server.golden:
            expect_that(
                f"{what}: margins of {MARGIN} in Transformers",
                min(reference[index]["margins"]) > MARGIN / 2,
                min(reference[index]["margins"]),
            )
            expect_tokens(f"{what}, golden", healthy_server.golden.answers[index].tokens, tokens)


def check_batch(healthy_server: Serving) -> None:
    """Requests that run together are each answered as if alone; afterwards no memory is held for any of them.

    The engine's count of steps shows that they ran together: alone, each token takes a step of its own. A
    gauge of running requests would have to be read at the right moment, and a busy server answers late.
    On a machine with few cores, requests that were sent together may still be processed one by one, so they
    are sent again, a few times, until some ran together.
    """
    alone = [
        _tokens(healthy_server.ask("an answer", _long_question(prompt)).choices[0])
        for prompt in healthy_server.prompts
    ]
    for _ in range(_ROUNDS):
        tokens, steps = _ask_together(healthy_server, alone)
        if steps < SHARED * tokens:
            break
    expect_that(
        "requests running together, several tokens in a step",
        steps < SHARED * tokens,
        f"{steps:g} steps for {tokens:g} tokens, in the last of {_ROUNDS} rounds",
    )


def _ask_together(healthy_server: Serving, alone: list[list[int]]) -> tuple[float, float]:
    """Send all prompts at once and expect the same answers as alone; return the tokens and the steps."""
    _settle(healthy_server)
    before = _work_done(healthy_server)
    tasks = [_start_question(healthy_server, prompt) for prompt in healthy_server.prompts]
    for index, task in enumerate(tasks):
        answer = _tokens(task.result(healthy_server.trial.answer_seconds, "an answer").choices[0])
        expect_tokens(f"prompt {index + 1} beside others", alone[index], answer)
    _settle(healthy_server)
    tokens, steps = (now - then for now, then in zip(_work_done(healthy_server), before, strict=True))
    expect("tokens generated:", sum(map(len, alone)), tokens)
    return tokens, steps


def check_limits(healthy_server: Serving) -> None:
    """Invalid requests are refused with a 4xx, and the server keeps running."""
    valid = {"model": SERVED, "prompt": "x", "max_tokens": 1}
    wrong = {
        "a prompt over the context length": json.dumps(valid | {"prompt": "x " * 4 * CONTEXT}).encode(),
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


def check_shutdown(healthy_server: Serving) -> None:
    """SIGTERM ends the server in time, with a normal exit code, and no process is left."""
    expect("end of the server before it was asked to:", None, healthy_server.server.ended())
    seconds = healthy_server.trial.shutdown_seconds
    started = time.monotonic()
    stopped = within(
        2 * seconds + _SETTLE_SECONDS, "an end of the server", lambda: healthy_server.server.stop(seconds)
    )
    took = time.monotonic() - started
    sane = (0, 143)
    expect_that(
        f"exit code 0 or 143 within {seconds:g} s",
        stopped.exit_code in sane,
        f"{stopped.exit_code} after {took:.1f} s",
    )
    expect_that("nothing left behind", not stopped.left, ", ".join(stopped.left))


# -- questions and answers --------------------------------------------------------------------------


def _complete(client: OpenAI, prompt: str, steps: int, **more: Any) -> Any:
    extra = {"return_token_ids": True, **more}
    return client.completions.create(
        model=SERVED, prompt=prompt, max_tokens=steps, temperature=0, extra_body=extra
    )


def _question(prompt: str, steps: int) -> Callable[[OpenAI], Any]:
    return lambda client: _complete(client, prompt, steps)


def _long_question(prompt: str) -> Callable[[OpenAI], Any]:
    return lambda client: _complete(client, prompt, LONG, ignore_eos=True)


def _start_question(trial_run: Serving, prompt: str) -> Task[Any]:
    return Task(lambda: trial_run.ask("an answer", _long_question(prompt)))


def _stream(client: OpenAI, prompt: str, steps: int) -> list[str]:
    parts = client.completions.create(
        model=SERVED, prompt=prompt, max_tokens=steps, temperature=0, stream=True
    )
    return [part.choices[0].text for part in parts if part.choices]


def _tokens(choice: Any) -> list[int]:
    """The tokens of an answer, without the end of text."""
    tokens = getattr(choice, "token_ids", None)
    if not isinstance(tokens, list):
        raise Mismatch("token_ids in the answer", f"{tokens!r}, text {getattr(choice, 'text', '')!r}")
    return tokens[:-1] if choice.finish_reason == "stop" else tokens


def _expect_reference(what: str, reference: Mapping[str, Any], actual: list[int]) -> None:
    """Tokens equal the reference's, up to a step where the reference itself is almost undecided."""
    clear = next((at for at, margin in enumerate(reference["margins"]) if margin < MARGIN / 2), None)
    expect_that(f"{what}: a clear first token", clear != 0, f"a margin below {MARGIN / 2} in Transformers")
    expect_tokens(f"{what}, Transformers", reference["tokens"][:clear], actual[:clear])


# -- the server's own metrics -----------------------------------------------------------------------


def _settle(trial_run: Serving) -> None:
    """Wait until nothing runs and no cache block is in use. Raises Mismatch if that does not happen."""
    poll(_SETTLE_SECONDS, lambda: _in_use(trial_run) == (0, 0))
    expect("(requests running, share of cache blocks in use) when idle:", (0, 0), _in_use(trial_run))


def _in_use(trial_run: Serving) -> tuple[float, float]:
    """Requests running, and the share of cache blocks in use."""
    body = trial_run.get("/metrics")
    return _metric(body, "vllm:num_requests_running"), _metric(body, "vllm:kv_cache_usage_perc")


def _work_done(trial_run: Serving) -> tuple[float, float]:
    """Tokens generated, and steps of the engine, since the server's start."""
    body = trial_run.get("/metrics")
    return _metric(body, "vllm:generation_tokens_total"), _metric(body, "vllm:iteration_tokens_total_count")


def _metric(body: str, name: str) -> float:
    """A number of the metrics, summed over engines. Raises Mismatch if it is missing."""
    values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", body, re.MULTILINE)
    if not values:
        raise Mismatch(f"{name} in /metrics", "no such metric")
    return sum(map(float, values))
