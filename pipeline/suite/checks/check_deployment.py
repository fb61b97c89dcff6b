"""The checks of a server that runs already: what can be asked over HTTP, and does its clients no harm.

There is no second copy of its model to compare with. Where it serves the tiny model, the golden answers are
known; of any other one, answers must agree with each other, alone, streamed and together, and be such as a
model gives: other prompts have other answers, and log-probabilities are those of a choice.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from pipeline.suite import golden
from pipeline.suite.deployed import TOGETHER, completion
from pipeline.suite.dtypes import BEST, clear
from pipeline.suite.expect import Mismatch, NotRun, Task, expect, expect_that

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openai import OpenAI

    from pipeline.suite.deployed import Deployed
    from pipeline.suite.dtypes import Dtype

SHORT = 16
"""Tokens of a short answer."""
STEPS = 32
"""Tokens of an answer that is compared."""
MAX_PROMPT_TOKENS = 1 << 17
"""Tokens of the longest prompt that a deployment is sent, which it has to refuse."""
_DTYPE: Dtype = "bfloat16"
"""What a server may calculate in, where nobody can ask it: the coarsest type of production."""
_SURELY = 1e-3
"""By how much rounding may bring a probability over one."""


@dataclass(frozen=True)
class _Answer:
    """A greedy answer: its text, the pieces that it was made of, and the best log-probabilities at each."""

    text: str
    pieces: tuple[str, ...]
    best: tuple[tuple[float, ...], ...]
    prompt_tokens: int

    @property
    def clear(self) -> str:
        """The text before the first piece that arithmetic beside others could make another one."""
        pairs = zip(self.pieces, self.best, strict=True)
        sure = [piece for piece, best in _until(pairs, _is_close)]
        return self.text[: len("".join(sure))]


def check_serve(server: Deployed) -> None:
    """It lists the model that is asked, and is healthy now; where a gateway hides that, it is noted."""
    if server.trouble:
        raise server.trouble
    server.note("vllm", server.says.vllm or "not said")
    server.note("context", f"{server.says.context or 'not said'}")
    status = server.get("/health").status_code
    hidden = (httpx.codes.NOT_FOUND, httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
    server.note("health", f"{status}" if status not in hidden else f"hidden ({status})")
    expect_that("status 200 at /health, or none there", status in (httpx.codes.OK, *hidden), status)


def check_complete(server: Deployed) -> None:
    """A completion comes from the model that was asked, is no longer than asked, and is counted rightly."""
    answer = server.ask("a completion", lambda client: _completed(client, server, _prompts()[1], SHORT))
    choice, usage = answer.choices[0], answer.usage
    expect("model", server.says.model, answer.model)
    expect_that("text in the answer", bool(choice.text), repr(choice.text))
    expect_that("usage in the answer", usage is not None, usage)
    expect_that(
        f"1 to {SHORT} tokens of an answer to a prompt, and their sum",
        0 < usage.completion_tokens <= SHORT
        and usage.prompt_tokens > 0
        and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens,
        usage,
    )


def check_chat(server: Deployed) -> None:
    """A chat answer is an assistant's, and has text; that of the tiny model is the golden one."""
    try:
        answer = server.ask("a chat answer", lambda client: _chatted(client, server))
    except Mismatch as error:
        if "chat template" in error.actual:
            raise NotRun("the model has no chat template") from error
        raise
    message = answer.choices[0].message
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    expect("role", "assistant", message.role)
    expect_that("text in the answer", bool(message.content or thought), repr(message.content))
    known = golden.read().chat
    if answer.usage and _is_tiny(answer.usage.prompt_tokens, known.prompt):
        expect("golden text:", _text(known.tokens), message.content)


def check_stream(server: Deployed) -> None:
    """A streamed answer comes in several parts: those of the other one, as far as that is clear."""
    alone = _ask(server, _prompts()[1])
    parts = server.ask("a streamed completion", lambda client: _streamed(client, server, _prompts()[1]))
    expect_that("more than one part", len(parts) > 1, f"{len(parts)} part")
    expect("streamed text", alone.clear, "".join(parts)[: len(alone.clear)])


def check_correct(server: Deployed) -> None:
    """Answers are the golden ones of the tiny model; of any other, repeatable, various, and truly chosen."""
    known = golden.read().answers
    answers = [_ask(server, answer.prompt) for answer in known]
    for index, answer in enumerate(answers):
        _expect_chosen(f"prompt {index + 1}", answer)
    tiny = all(_is_tiny(one.prompt_tokens, other.prompt) for one, other in zip(answers, known, strict=True))
    server.note("reference", "the golden answers" if tiny else "its own answers")
    if tiny:
        for index, (answer, other) in enumerate(zip(answers, known, strict=True)):
            expect(f"prompt {index + 1}, golden:", _text(other.tokens[:STEPS]), answer.text)
        return
    expect_that("another answer to another prompt", len({answer.text for answer in answers}) > 1, "one only")
    various = [len(set(answer.pieces)) > 2 for answer in answers]
    expect_that("answers of more than two different tokens", any(various), [one.text[:40] for one in answers])
    again = _ask(server, known[1].prompt).text[: len(answers[1].clear)]
    expect("the same prompt again:", answers[1].clear, again)


def check_batch(server: Deployed) -> None:
    """Requests that are sent together are each answered as if alone, as far as the answer is clear."""
    prompts = _prompts()[:TOGETHER]
    alone = [_ask(server, prompt) for prompt in prompts]
    tasks = [Task(lambda prompt=prompt: _ask(server, prompt)) for prompt in prompts]  # type: ignore[misc]
    for index, (task, answer) in enumerate(zip(tasks, alone, strict=True)):
        beside = task.result(server.seconds, "an answer")
        what = f"prompt {index + 1} beside others:"
        expect(what, answer.clear, beside.text[: len(answer.clear)])


def check_limits(server: Deployed) -> None:
    """Invalid requests are refused with a 4xx, and a valid one is answered afterwards."""
    valid = {"model": server.says.model, "prompt": "x", "max_tokens": 1}
    wrong = {
        "bad JSON": b'{"model": ',
        "an unknown model": json.dumps(valid | {"model": f"not-{server.says.model}"}).encode(),
    }
    context = server.says.context
    if context and context < MAX_PROMPT_TOKENS:  # as tokens, so that nobody has to read a long text
        wrong["a prompt over the context length"] = completion(server.says.model, [1] * (context + 1), 1)
    else:
        server.note("left-out", "a prompt over the context length: that is not said, or too long to be sent")
    for what, body in wrong.items():
        status = server.post("/v1/completions", body).status_code
        expect_that(f"4xx for {what}", 400 <= status < 500, status)
    after = server.post("/v1/completions", json.dumps(valid).encode()).status_code
    expect("a valid request afterwards:", 200, after)


ASKED: Mapping[str, Callable[[Deployed], None]] = {
    "serve": check_serve,
    "complete": check_complete,
    "chat": check_chat,
    "stream": check_stream,
    "correct": check_correct,
    "batch": check_batch,
    "limits": check_limits,
}
"""The checks that are made of a deployment, by their names in the suite, in the order in which they run."""


# -- questions --------------------------------------------------------------------------------------


def _prompts() -> tuple[str, ...]:
    return tuple(answer.prompt for answer in golden.read().answers)


def _completed(client: OpenAI, server: Deployed, prompt: str, steps: int, **more: Any) -> Any:
    return client.completions.create(
        model=server.says.model, prompt=prompt, max_tokens=steps, temperature=0, **more
    )


def _chatted(client: OpenAI, server: Deployed) -> Any:
    return client.chat.completions.create(
        model=server.says.model,
        messages=[{"role": "user", "content": golden.MESSAGE}],
        max_completion_tokens=golden.CHAT_STEPS,
        temperature=0,
    )


def _streamed(client: OpenAI, server: Deployed, prompt: str) -> list[str]:
    parts = _completed(client, server, prompt, STEPS, stream=True)
    return [part.choices[0].text for part in parts if part.choices]


def _ask(server: Deployed, prompt: str) -> _Answer:
    """A greedy answer. Raises Mismatch where it has no log-probabilities at each of its pieces."""

    def question(client: OpenAI) -> Any:
        return _completed(client, server, prompt, STEPS, logprobs=BEST)

    answer = server.ask("a completion", question)
    choice = answer.choices[0]
    try:
        pieces = tuple(map(str, choice.logprobs.tokens))
        best = tuple(
            tuple(sorted(map(float, at.values()), reverse=True)) for at in choice.logprobs.top_logprobs
        )
        return _Answer(choice.text, pieces, best, answer.usage.prompt_tokens)
    except (AttributeError, TypeError, ValueError) as error:
        raise Mismatch("log-probabilities at each token, and usage", f"{choice!r}"[:300]) from error


# -- what an answer must be -------------------------------------------------------------------------


def _expect_chosen(what: str, answer: _Answer) -> None:
    """At each piece the log-probabilities are finite numbers, together of one choice and no more."""
    expect(f"{what}: log-probabilities at each token,", len(answer.pieces), len(answer.best))
    expect_that(f"{what}: an answer", bool(answer.pieces), "none")
    for at, best in enumerate(answer.best):
        shown = ", ".join(f"{value:.4f}" for value in best)
        is_sane = len(best) >= BEST and all(map(math.isfinite, best))
        total = sum(math.exp(min(value, 1.0)) for value in best) if is_sane else math.nan
        wanted = f"{what}: {BEST} log-probabilities of one choice at token {at + 1}"
        expect_that(wanted, is_sane and total <= 1 + _SURELY, shown)


def _is_close(best: tuple[float, ...]) -> bool:
    return len(best) < 2 or best[0] - best[1] < clear(_DTYPE)


def _until(pairs: Any, stops: Callable[[tuple[float, ...]], bool]) -> Any:
    for piece, best in pairs:
        if stops(best):
            return
        yield piece, best


def _is_tiny(prompt_tokens: int, prompt: str) -> bool:
    """Whether a prompt was read as the tiny model's tokenizer reads it: a token for each byte."""
    return prompt_tokens == len(prompt.encode())


def _text(tokens: tuple[int, ...]) -> str:
    """The text of tokens of the tiny model, each of which is a byte."""
    return bytes(tokens).decode()
