"""Questions to a server, its answers as tokens and log-probabilities, and their comparison with others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.model import ANSWERS
from pipeline.suite.dtypes import BEST, clear, expect_logprobs
from pipeline.suite.expect import Mismatch, expect_that, expect_tokens
from pipeline.suite.fingerprint import fingerprint
from pipeline.suite.golden import CHAT_STEPS, MESSAGE
from pipeline.suite.live_server import NOT_SAID
from pipeline.suite.serving import EDGE_STEPS, SERVED
from pipeline.suite.soundness import expect_sound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openai import OpenAI

    from pipeline.suite.checks import Note
    from pipeline.suite.dtypes import Dtype
    from pipeline.suite.live_server import LiveServer
    from pipeline.suite.serving import Serving

Best = tuple[float, ...]
"""The largest log-probabilities at one token, the largest first."""
PLAIN: dict[str, Any] = {"return_token_ids": True, "repetition_penalty": 1.0}
"""What every question has: answers have tokens, which no penalty of the model's own files moves."""
HOT: dict[str, Any] = {"temperature": 2.0, "top_k": -1, "top_p": 1.0, "min_p": 0.0}
"""What a question has that samples: no token is left out, and another seed is sure to draw others."""


@dataclass(frozen=True)
class Answer:
    """What a server answered, without an end of text: tokens, and the largest log-probabilities at each."""

    tokens: tuple[int, ...]
    best: tuple[Best, ...]

    def clear_until(self, dtype: Dtype) -> int:
        """How many tokens come before the first at which this type could choose another one."""
        return clear_until(self.best, dtype)


def complete(client: OpenAI, prompt: str | list[str] | list[int], steps: int, **more: Any) -> Any:
    """A greedy completion, as the client returns it; ``more`` goes into the request."""
    return client.completions.create(
        model=SERVED, prompt=prompt, max_tokens=steps, temperature=0, extra_body=PLAIN | more
    )


def converse(client: OpenAI, *, stream: bool = False, **more: Any) -> Any:
    """A greedy chat answer to ``MESSAGE``, as the client returns it; ``more`` goes into the request."""
    return client.chat.completions.create(
        model=SERVED,
        messages=[{"role": "user", "content": MESSAGE}],
        max_completion_tokens=CHAT_STEPS,
        temperature=0,
        stream=stream,
        extra_body=PLAIN | more,
    )


def question(prompt: str | list[str] | list[int], steps: int, **more: Any) -> Callable[[OpenAI], Any]:
    """Ask for a greedy completion with log-probabilities."""
    return lambda client: complete(
        client, prompt, steps, logprobs=BEST, return_tokens_as_token_ids=True, **more
    )


def answer_of(choice: Any) -> Answer:
    """The answer to such a question. Raises Mismatch if tokens or log-probabilities are missing."""
    tokens = tokens_of(choice)
    try:
        best = tuple(
            tuple(sorted(map(float, at.values()), reverse=True)[:BEST]) for at in choice.logprobs.top_logprobs
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise Mismatch(f"{BEST} log-probabilities at each token", f"{choice.logprobs!r}") from error
    expect_that(
        f"{BEST} log-probabilities at each of {len(tokens)} tokens",
        len(best) >= len(tokens) and all(len(at) == BEST for at in best),
        f"{len(best)} tokens with {sorted({len(at) for at in best})}",
    )
    return Answer(tuple(tokens), best[: len(tokens)])


def tokens_of(choice: Any) -> list[int]:
    """The tokens of an answer, without the end of text."""
    tokens = getattr(choice, "token_ids", None)
    if not isinstance(tokens, list):
        raise Mismatch("token_ids in the answer", f"{tokens!r}, text {getattr(choice, 'text', '')!r}")
    return tokens[:-1] if choice.finish_reason == "stop" else tokens


def clear_until(best: Sequence[Sequence[float]], dtype: Dtype) -> int:
    """How many tokens come before the first whose log-probability leads by less than this type may move."""
    return next(
        (at for at, (first, second, *_) in enumerate(best) if first - second < clear(dtype)), len(best)
    )


def expect_reference(what: str, reference: Mapping[str, Any], actual: Sequence[int], dtype: Dtype) -> int:
    """Tokens equal those of Transformers, as far as its choice is clear in this type; how many these are."""
    count = clear_until(reference["logprobs"], dtype)
    expect_tokens(f"{what}, Transformers", reference["tokens"][:count], actual[:count])
    return count


def expect_answers(trial_run: Serving, server: LiveServer, note: Note) -> None:
    """Greedy tokens are those of Transformers in float32 on the same weights, as far as its choice is clear.

    The tiny model's are clear at every token, and the golden ones; its log-probabilities are compared too.
    """
    asked = (question(prompt, trial_run.steps) for prompt in trial_run.prompts)
    answers = [answer_of(server.ask("a completion", one).choices[0]) for one in asked]
    note(ANSWERS, fingerprint(answer.tokens for answer in answers))
    references, compared, deviations = trial_run.reference()["answers"], 0, []
    expect_sound(answers)
    for index, (answer, reference) in enumerate(zip(answers, references, strict=True)):
        what = f"prompt {index + 1}"
        compared += expect_reference(what, reference, answer.tokens, server.dtype)
        if trial_run.golden:
            expect_tokens(f"{what}, golden", trial_run.golden.answers[index].tokens, answer.tokens)
            deviations.append(expect_logprobs(what, reference["logprobs"], answer.best, server.dtype))
    deviations += _expect_edges(trial_run, server)
    expect_that("tokens of which Transformers is sure in this type", compared > 0, "none")
    note("tokens-compared", f"{compared}")
    if deviations:
        note("logprob-deviation", f"{max(deviations):.6f}")


def _expect_edges(trial_run: Serving, server: LiveServer) -> list[float]:
    """Answers to the shortest prompt and to long ones are those of Transformers; how far they deviate.

    One of them fills the context of the bounded server. No golden answer was fitted to them, so
    log-probabilities are compared up to the first token that this type may choose otherwise, that one
    included: what comes before it is the same text.
    """
    deviations, context = [], server.context()
    for reference in trial_run.reference()["edges"]:
        prompt = reference["prompt_tokens"]
        if len(prompt) + EDGE_STEPS > context:
            continue
        what = f"a prompt of {len(prompt)} tokens"
        answer = answer_of(server.ask(what, question(prompt, EDGE_STEPS)).choices[0])
        count = expect_reference(what, reference, answer.tokens, server.dtype)
        if trial_run.golden:
            wanted, seen = reference["logprobs"][: count + 1], answer.best[: count + 1]
            deviations.append(expect_logprobs(what, wanted, seen, server.dtype))
    return deviations


def expect_dtype(server: LiveServer) -> None:
    """The server calculates in the type that it was asked for, if its log names one."""
    seen = server.choices()["dtype"]
    expect_that(f"dtype {server.dtype} in the server's log", seen in (server.dtype, NOT_SAID), seen)
