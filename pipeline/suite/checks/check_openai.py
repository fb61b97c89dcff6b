"""The check ``openai``: what the API promises, asked of a server through the official client.

Each promise is a function. It raises Mismatch where the server breaks it, NotRun where it never made it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openai import APIStatusError, BadRequestError, NotFoundError

from pipeline.suite.answers import HOT, complete, converse, tokens_of
from pipeline.suite.dtypes import BEST, expect_logprobs
from pipeline.suite.expect import Mismatch, NotRun, expect, expect_that, expect_tokens, poll
from pipeline.suite.metrics import value
from pipeline.suite.serving import SERVED
from pipeline.suite.soundness import expect_seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI

    from pipeline.suite.checks import Note
    from pipeline.suite.live_server import LiveServer
    from pipeline.suite.serving import Serving

    Promise = Callable[[Serving, LiveServer], None]
    Question = Callable[[OpenAI], Any]

SHORT = 16
"""Tokens of a short answer."""
SERIES = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:num_preemptions_total",
    "vllm:kv_cache_usage_perc",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:iteration_tokens_total_count",
    "vllm:request_success_total",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:request_queue_time_seconds_bucket",
    "vllm:request_prefill_time_seconds_bucket",
    "vllm:request_decode_time_seconds_bucket",
)
"""What dashboards and autoscalers read (https://docs.vllm.ai/en/stable/design/metrics/)."""
SCHEMA = {
    "type": "object",
    "properties": {"build": {"enum": ["cpu", "cuda"]}, "works": {"type": "boolean"}},
    "required": ["build", "works"],
    "additionalProperties": False,
}
_ROOM = 256
"""Tokens for an answer of some twenty: grammars allow any blanks between two parts of a JSON document."""
_TRIES = 4
"""Seeds that are tried until an answer ends by itself: a small model may prefer blanks for long."""
_COUNTED_SECONDS = 10.0


def check_openai(trial_run: Serving, healthy_server: LiveServer, note: Note) -> None:
    """Through the official client, the server keeps each promise of its API that the facts name.

    These are the list of models, exact counts of tokens, streams with usage, stops, seeds, log-probabilities,
    several answers, JSON by a schema, errors of the right type, and the series of ``/metrics``. What it never
    promised is a fact too, with the reason.
    """
    kept = []
    for name, promise in PROMISES.items():
        try:
            promise(trial_run, healthy_server)
        except NotRun as gap:
            note(name, f"not run: {gap.reason}")
        else:
            kept.append(name)
    note("kept", ", ".join(kept))


def _models(_: Serving, server: LiveServer) -> None:
    """The served model is in the list."""
    models = {
        model.id: model.object for model in server.ask("the models", lambda client: client.models.list())
    }
    expect_that(f"{SERVED} among the models, as a model", models.get(SERVED) == "model", models)


def _one_model(_: Serving, server: LiveServer) -> None:
    """It can be asked for by its name."""
    try:
        model = server.ask("the model by its name", lambda client: client.models.retrieve(SERVED))
    except NotFoundError as error:
        raise NotRun("no route for one model") from error
    expect("model", SERVED, model.id)


def _usage(trial_run: Serving, server: LiveServer) -> None:
    """Each answer's usage has exactly the tokens of its prompt, by Transformers' tokenizer, and its own."""
    references = trial_run.reference()["answers"]
    for index, (prompt, reference) in enumerate(zip(trial_run.prompts, references, strict=True)):
        answer = server.ask("a completion", _completion(prompt))
        count = len(answer.choices[0].token_ids)
        expect_usage(f"prompt {index + 1}", answer.usage, len(reference["prompt_tokens"]), count)


def _stream(trial_run: Serving, server: LiveServer) -> None:
    """A streamed chat is the answer without streaming, part by part, and its usage comes last."""
    whole = server.ask("a chat answer", _chat()).choices[0]
    parts = server.ask("a streamed chat answer", _chat_parts)
    streamed = [part.choices[0] for part in parts if part.choices]
    expect("streamed text", whole.message.content, "".join(part.delta.content or "" for part in streamed))
    ends = [part.finish_reason for part in streamed if part.finish_reason]
    expect("ends of the stream:", [whole.finish_reason], ends)
    prompt = len(trial_run.reference()["chat"]["prompt_tokens"])
    expect_usage("the stream's last part", parts[-1].usage, prompt, len(whole.token_ids))


def _stop(trial_run: Serving, server: LiveServer) -> None:
    """An answer ends before the text, and at the token, at which it is told to stop."""
    whole = server.ask("a completion", _completion(trial_run.prompts[1])).choices[0]
    text, tokens = whole.text, tokens_of(whole)
    if len(text) < 4 or len(tokens) < 4:
        raise NotRun(f"the model answers no more than {text!r}")
    stop = text[len(text) // 2 :][:2]
    until = server.ask("a completion up to a text", _completion(trial_run.prompts[1], stop=[stop])).choices[0]
    expect(
        f"up to {stop!r}: (text, end)", (text.partition(stop)[0], "stop"), (until.text, until.finish_reason)
    )
    last = tokens[len(tokens) // 2]
    question = _completion(trial_run.prompts[1], stop_token_ids=[last])
    until = server.ask("a completion up to a token", question).choices[0]
    expect(f"end at token {last}:", "stop", until.finish_reason)
    expect_tokens(f"up to token {last}", tokens[: tokens.index(last)], tokens_of(until))


def _seed(_: Serving, server: LiveServer) -> None:
    """A chat with a seed is repeatable, and another seed gives another one."""
    expect_seeded("a chat", lambda seed: _sampled_chat(server, seed))


def _logprobs(trial_run: Serving, server: LiveServer) -> None:
    """A chat's log-probabilities are of its own text, greedily the largest, and those of Transformers."""
    answer = server.ask("a chat with log-probabilities", _chat(logprobs=True, top_logprobs=BEST))
    choice = answer.choices[0]
    told, text = choice.logprobs and choice.logprobs.content, choice.message.content
    expect_that("log-probabilities of a chat", bool(told), choice.logprobs)
    if text.isascii():  # a token of another text may be a part of a character
        expect("text of a chat's tokens:", text, "".join(token.token for token in told))
    best = [sorted((other.logprob for other in token.top_logprobs), reverse=True) for token in told]
    for index, token in enumerate(told):
        expect(f"the largest log-probability at token {index + 1} of a chat:", best[index][0], token.logprob)
    if trial_run.golden:
        expect_logprobs("a chat", trial_run.reference()["chat"]["logprobs"], best, server.dtype)


def _several(trial_run: Serving, server: LiveServer) -> None:
    """Two answers to one question are two, and are counted as two."""
    answer = server.ask("two answers", _completion(trial_run.prompts[1], **HOT, seed=1, n=2))
    tokens = {choice.index: choice.token_ids for choice in answer.choices}
    expect("numbers of the answers:", [0, 1], sorted(tokens))
    expect_that("two different answers", tokens[0] != tokens[1], f"{tokens[0]} twice")
    prompt = len(trial_run.reference()["answers"][1]["prompt_tokens"])
    expect_usage("two answers", answer.usage, prompt, sum(map(len, tokens.values())))


def _json_schema(_: Serving, server: LiveServer) -> None:
    """An answer by a schema is JSON that fits it, whatever the model would rather say."""
    wanted = {"type": "json_schema", "json_schema": {"name": "report", "schema": SCHEMA, "strict": True}}
    for seed in range(_TRIES):
        question = _chat(max_completion_tokens=_ROOM, temperature=1, seed=seed, response_format=wanted)
        choice = server.ask("an answer by a schema", question).choices[0]
        if choice.finish_reason == "stop":
            expect_fits("an answer by a schema", choice.message.content)
            return
    raise Mismatch(f"an answer by a schema that ends within {_ROOM} tokens", repr(choice.message.content))


def _errors(_: Serving, server: LiveServer) -> None:
    """What is refused is refused with an error object, which the client raises as the right type."""
    for what, (kind, question) in REFUSED.items():
        expect_refused(server, what, kind, question)


def _metrics(trial_run: Serving, server: LiveServer) -> None:
    """The series are there, and count exactly what was answered."""
    before = _counted(server)
    usage = server.ask("a completion", _completion(trial_run.prompts[0])).usage
    wanted = (usage.prompt_tokens, usage.completion_tokens, 1)

    def counted() -> tuple[float, ...]:
        return tuple(now - then for now, then in zip(_counted(server), before, strict=True))

    poll(_COUNTED_SECONDS, lambda: counted() == wanted)
    expect("(prompt tokens, generated tokens, requests) counted of one:", wanted, counted())


PROMISES: dict[str, Promise] = {
    "models": _models,
    "one-model": _one_model,
    "usage": _usage,
    "stream": _stream,
    "stop": _stop,
    "seed": _seed,
    "logprobs": _logprobs,
    "several": _several,
    "json-schema": _json_schema,
    "errors": _errors,
    "metrics": _metrics,
}

REFUSED: dict[str, tuple[type[APIStatusError], Question]] = {
    "an unknown model": (NotFoundError, lambda client: complete(client, "x", 1, model="unknown")),
    "a negative temperature": (BadRequestError, lambda client: converse(client, temperature=-1)),
    "no answers at all": (BadRequestError, lambda client: converse(client, max_completion_tokens=-1)),
    "messages that are none": (BadRequestError, lambda client: converse(client, messages="x")),
}
"""What is refused, and as what the client raises that."""


# -- comparisons ------------------------------------------------------------------------------------


def expect_usage(what: str, usage: Any, prompt: int, completion: int) -> None:
    """Raise Mismatch unless the usage has these tokens of the prompt and of the answer, and their sum."""
    counts = usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    expect(f"{what}: tokens of (prompt, answer, both)", (prompt, completion, prompt + completion), counts)


def expect_fits(what: str, text: str | None) -> None:
    """Raise Mismatch unless the text is a JSON document that fits ``SCHEMA``."""
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError) as error:
        raise Mismatch(f"{what}, as JSON", repr(text)) from error
    fits = isinstance(value, dict) and sorted(value) == ["build", "works"]
    fits = fits and value["build"] in ("cpu", "cuda") and isinstance(value["works"], bool)
    expect_that(f"{what} of build (cpu or cuda) and works (true or false)", fits, repr(text))


def expect_refused(server: LiveServer, what: str, kind: type[APIStatusError], question: Question) -> None:
    """Raise Mismatch unless the client raises this kind of error, with a message, a type and its status."""
    try:
        answer = server.ask(what, question)
    except APIStatusError as error:
        expect(f"for {what}:", kind.__name__, type(error).__name__)
        told: Any = error.body if isinstance(error.body, dict) else {}
        whole = all(told.get(name) and isinstance(told[name], str) for name in ("message", "type"))
        expected = f"for {what} an error object with message, type and the code {error.status_code}"
        expect_that(expected, whole and told.get("code") == error.status_code, error.body)
    else:
        raise Mismatch(f"{kind.__name__} for {what}", f"an answer: {answer}")


# -- questions --------------------------------------------------------------------------------------


def _completion(prompt: str, **more: Any) -> Question:
    return lambda client: complete(client, prompt, SHORT, **more)


def _chat(**more: Any) -> Question:
    return lambda client: converse(client, **more)


def _chat_parts(client: OpenAI) -> list[Any]:
    return list(converse(client, stream=True, stream_options={"include_usage": True}))


def _sampled_chat(server: LiveServer, seed: int) -> list[int]:
    return tokens_of(server.ask("a sampled chat", _chat(**HOT, seed=seed)).choices[0])


def _counted(server: LiveServer) -> tuple[float, ...]:
    """Tokens of prompts, tokens generated and requests answered since the server's start."""
    body = server.get("/metrics")
    for name in SERIES:
        value(body, name)
    of_interest = ("prompt_tokens_total", "generation_tokens_total", "request_success_total")
    return tuple(value(body, f"vllm:{name}") for name in of_interest)
