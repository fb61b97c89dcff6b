"""Prompts with the answers that a user's model gives: a file of JSON lines, asked greedily."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.adapters import files
from pipeline.model import shown
from pipeline.model.errors import UsageError
from pipeline.suite.answers import PLAIN, tokens_of
from pipeline.suite.expect import Mismatch
from pipeline.suite.serving import SERVED

if TYPE_CHECKING:
    from pathlib import Path

    from openai import OpenAI

    from pipeline.suite.live_server import LiveServer

MAX_BYTES = 4 << 20
_MAX_TOKENS = 4096

Text = Annotated[str, Field(max_length=1_000_000)]


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    role: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]
    content: Text


class Prompt(BaseModel):
    """One line: a prompt or messages, how many tokens are asked for, and one thing that is expected."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    prompt: Text | None = None
    messages: Annotated[tuple[Message, ...], Field(min_length=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=_MAX_TOKENS)]
    text: Text | None = None
    one_of: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    matches: Text | None = None
    tokens: tuple[int, ...] | None = None

    @model_validator(mode="after")
    def _is_clear(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("either `prompt` or `messages` is asked")
        if sum(value is not None for value in (self.text, self.one_of, self.matches, self.tokens)) != 1:
            raise ValueError("one of `text`, `one_of`, `matches` and `tokens` is expected")
        try:
            re.compile(self.matches or "")
        except re.error as error:
            raise ValueError(f"`matches` is no regular expression: {error}") from error
        return self

    @property
    def expected(self) -> str:
        """What is expected, as text."""
        if self.tokens is not None:
            return f"tokens {list(self.tokens)}"
        if self.matches is not None:
            return f"a text that matches {self.matches!r}"
        return " or ".join(map(repr, self._texts))

    @property
    def _texts(self) -> tuple[str, ...]:
        return self.one_of or (self.text or "",)

    def ask(self, client: OpenAI) -> Any:
        """The greedy answer, as the client returns it."""
        asked: dict[str, Any] = {"model": SERVED, "temperature": 0, "extra_body": PLAIN}
        if self.messages is None:
            answer: Any = client.completions.create(prompt=self.prompt, max_tokens=self.max_tokens, **asked)
            return answer
        said: Any = [message.model_dump() for message in self.messages]
        return client.chat.completions.create(messages=said, max_completion_tokens=self.max_tokens, **asked)

    def unlike(self, answer: Any) -> str:
        """What was answered, where that is not what is expected; nothing where it is."""
        choice = answer.choices[0]
        if self.tokens is not None:
            tokens = tokens_of(choice)
            return "" if tokens == list(self.tokens) else f"tokens {tokens}"
        text = (choice.text if self.messages is None else choice.message.content) or ""
        if self.matches is None:
            return "" if text in self._texts else repr(text)
        return "" if re.search(self.matches, text) else repr(text)


def read(path: Path) -> dict[int, Prompt]:
    """The prompts of a file, by the number of their lines. Raises UsageError, with file and line."""
    try:
        lines = files.read(path, MAX_BYTES).decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else f"is no UTF-8 at byte {error.start}"
        raise UsageError(f"{path}: {what}", hint=_EXAMPLE) from error
    prompts = {number: _prompt(path, number, line) for number, line in enumerate(lines, 1) if line.strip()}
    if not prompts:
        raise UsageError(f"{path}: there is no prompt in it", hint=_EXAMPLE)
    return prompts


_EXAMPLE = 'write lines like {"prompt": "The capital of France is", "max_tokens": 4, "matches": "Paris"}'


def _prompt(path: Path, number: int, line: str) -> Prompt:
    try:
        return Prompt.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        what = f"{path}:{number}: {where}{': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
        raise UsageError(shown(what), hint=_EXAMPLE) from error


def expect_answers(server: LiveServer, prompts: dict[int, Prompt]) -> None:
    """Raise Mismatch, with each prompt whose answer is another than is expected, by its line."""
    wrong: dict[str, str] = {}
    for number, prompt in prompts.items():
        answer = server.ask(f"an answer to line {number}", prompt.ask)
        if seen := prompt.unlike(answer):
            wrong[f"line {number}: {prompt.expected}"] = f"line {number}: {seen}"
    if wrong:
        raise Mismatch("; ".join(wrong), "; ".join(wrong.values()))
