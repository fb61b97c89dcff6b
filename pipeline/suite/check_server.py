"""What a cell with vLLM is asked, in this order. Each check shares the one server; the last one ends it."""

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
"""Tokens of an answer where a few are enough."""
LONG = 160
"""Tokens of an answer that is to last while others run."""
SHARED = 0.75
"""Steps for each token below which requests must have run together; alone it is 1."""
_SETTLE_SECONDS = 10.0
_ROUNDS = 10
"""How often prompts are sent together before none is said to have met another."""


def check_serve(stage: Serving, request: pytest.FixtureRequest) -> None:
    """The server is healthy in time. The seconds of this check are those since the server's start."""
    seconds = stage.await_health()
    request.node.user_properties.append(("seconds", seconds))


def check_complete(up: Serving) -> None:
    """A completion comes back, of the length asked for, from the model asked for."""
    answer = up.ask("a completion", lambda client: _complete(client, up.prompts[1], SHORT))
    choice = answer.choices[0]
    expect("model", SERVED, answer.model)
    expect_that("text in the answer", bool(choice.text), repr(choice.text))
    wanted = {"length": [SHORT], "stop": range(1, SHORT + 1)}.get(choice.finish_reason, [])
    count = answer.usage.completion_tokens if answer.usage else None
    told = f"{count} tokens, finish_reason {choice.finish_reason}"
    expect_that(f"{SHORT} tokens, finish_reason length", count in wanted, told)


def check_chat(up: Serving) -> None:
    """A chat answer is what Transformers says to the prompt that its own chat template makes."""
    answer = up.ask(
        "a chat answer",
        lambda client: client.chat.completions.create(
            model=SERVED,
            messages=[{"role": "user", "content": MESSAGE}],
            max_completion_tokens=CHAT_STEPS,
            temperature=0,
            extra_body={"return_token_ids": True},
        ),
    )
    message, reference = answer.choices[0].message, up.reference()["chat"]
    expect("role", "assistant", message.role)
    expect_that("text in the answer", bool(message.content), repr(message.content))
    expect_that("a chat template in the model", reference is not None, "none")
    expect(
        "tokens of the prompt:", len(reference["prompt_tokens"]), answer.usage and answer.usage.prompt_tokens
    )
    _expect_reference("chat", reference, _tokens(answer.choices[0]))


def check_stream(up: Serving) -> None:
    """A streamed answer comes in parts, which together are the answer that comes in one."""
    prompt = up.prompts[1]
    whole = up.ask("a completion", lambda client: _complete(client, prompt, SHORT)).choices[0].text
    parts = up.ask("a streamed completion", lambda client: _stream(client, prompt, SHORT))
    expect_that("more than one part", len(parts) > 1, f"{len(parts)} part")
    expect("streamed text", whole, "".join(parts))


def check_correct(up: Serving) -> None:
    """Greedy tokens are those of Transformers on the same weights, and the golden ones of the tiny model."""
    reference = up.reference()["answers"]
    for index, prompt in enumerate(up.prompts):
        answer = up.ask("a completion", _question(prompt, up.steps))
        seen = _tokens(answer.choices[0])
        what = f"prompt {index + 1}"
        _expect_reference(what, reference[index], seen)
        if up.golden:
            expect_that(
                f"{what}: margins of {MARGIN} in Transformers",
                min(reference[index]["margins"]) > MARGIN / 2,
                min(reference[index]["margins"]),
            )
            expect_tokens(f"{what}, golden", up.golden.answers[index].tokens, seen)


def check_batch(up: Serving) -> None:
    """Requests that run together are each answered as if alone; afterwards no memory is held for any.

    That they ran together is seen in the steps of the engine: alone, each token takes one of its own. A
    gauge of running requests would have to be read at the right moment, and a busy server answers late.
    On a machine with few cores, requests that were sent together may still be taken in one by one, so
    they are sent again, a few times, until some met.
    """
    alone = [_tokens(up.ask("an answer", _long_question(prompt)).choices[0]) for prompt in up.prompts]
    for _ in range(_ROUNDS):
        tokens, steps = _ask_together(up, alone)
        if steps < SHARED * tokens:
            break
    expect_that(
        "requests running together, several tokens in a step",
        steps < SHARED * tokens,
        f"{steps:g} steps for {tokens:g} tokens, in the last of {_ROUNDS} rounds",
    )


def _ask_together(up: Serving, alone: list[list[int]]) -> tuple[float, float]:
    """Send all prompts at once, expect the answers they got alone; return tokens made and steps taken."""
    _settle(up)
    before = _work_done(up)
    tasks = [_beside(up, prompt) for prompt in up.prompts]
    for index, task in enumerate(tasks):
        seen = _tokens(task.result(up.trial.answer_seconds, "an answer").choices[0])
        expect_tokens(f"prompt {index + 1} beside others", alone[index], seen)
    _settle(up)
    tokens, steps = (now - then for now, then in zip(_work_done(up), before, strict=True))
    expect("tokens generated:", sum(map(len, alone)), tokens)
    return tokens, steps


def check_limits(up: Serving) -> None:
    """What cannot be answered is refused with a 4xx, and the server lives on."""
    valid = {"model": SERVED, "prompt": "x", "max_tokens": 1}
    wrong = {
        "a prompt over the context length": json.dumps(valid | {"prompt": "x " * 4 * CONTEXT}).encode(),
        "bad JSON": b'{"model": ',
        "an unknown model": json.dumps(valid | {"model": "unknown"}).encode(),
    }
    for what, body in wrong.items():
        status = up.post("/v1/completions", body).status_code
        expect_that(f"4xx for {what}", 400 <= status < 500, status)
    expect(
        "a valid request afterwards:", 200, up.post("/v1/completions", json.dumps(valid).encode()).status_code
    )
    expect("end of the server:", None, up.server.ended())


def check_shutdown(up: Serving) -> None:
    """SIGTERM ends the server in time, with a sane exit code, and nothing is left behind."""
    expect("end of the server before it was asked to:", None, up.server.ended())
    seconds = up.trial.shutdown_seconds
    started = time.monotonic()
    stopped = within(2 * seconds + _SETTLE_SECONDS, "an end of the server", lambda: up.server.stop(seconds))
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


def _beside(stage: Serving, prompt: str) -> Task[Any]:
    return Task(lambda: stage.ask("an answer", _long_question(prompt)))


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


def _expect_reference(what: str, reference: Mapping[str, Any], seen: list[int]) -> None:
    """Tokens equal the reference's, up to a step at which the reference itself hardly had a preference."""
    clear = next((at for at, margin in enumerate(reference["margins"]) if margin < MARGIN / 2), None)
    expect_that(f"{what}: a clear first token", clear != 0, f"a margin below {MARGIN / 2} in Transformers")
    expect_tokens(f"{what}, Transformers", reference["tokens"][:clear], seen[:clear])


# -- the server's own metrics -----------------------------------------------------------------------


def _settle(stage: Serving) -> None:
    """Wait until nothing runs and no cache block is in use. Raises Mismatch where that does not come."""
    poll(_SETTLE_SECONDS, lambda: _in_use(stage) == (0, 0))
    expect("(requests running, share of cache blocks in use) when idle:", (0, 0), _in_use(stage))


def _in_use(stage: Serving) -> tuple[float, float]:
    """Requests running, and the share of cache blocks in use."""
    body = stage.get("/metrics")
    return _metric(body, "vllm:num_requests_running"), _metric(body, "vllm:kv_cache_usage_perc")


def _work_done(stage: Serving) -> tuple[float, float]:
    """Tokens generated, and steps of the engine, since the server's start."""
    body = stage.get("/metrics")
    return _metric(body, "vllm:generation_tokens_total"), _metric(body, "vllm:iteration_tokens_total_count")


def _metric(body: str, name: str) -> float:
    """A number of the metrics, summed over engines. Raises Mismatch where it is not told."""
    values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", body, re.MULTILINE)
    if not values:
        raise Mismatch(f"{name} in /metrics", "no such metric")
    return sum(map(float, values))
