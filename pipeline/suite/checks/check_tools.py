"""The check ``tools``: calls of tools, asked of a server that was started with a parser of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.suite.answers import converse
from pipeline.suite.checks.check_openai import SCHEMA, expect_fits
from pipeline.suite.expect import Mismatch, expect, expect_that

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI

    from pipeline.suite.live_server import LiveServer

NAME = "report"
TOOL = {
    "type": "function",
    "function": {"name": NAME, "description": "Report a build.", "parameters": SCHEMA, "strict": True},
}
CHOICES: dict[str, Any] = {
    "named": {"type": "function", "function": {"name": NAME}},
    "required": "required",
}
"""Ways in which a request insists on a call."""
_ROOM = 192
"""Tokens for a call of some forty: a grammar allows any blanks between two parts of a JSON document."""
_TRIES = 6
"""Seeds that are tried until a call ends by itself: a small model may prefer blanks for long."""


def check_tools(bounded_server: LiveServer) -> None:
    """A tool that is named, or any that is required, is called with arguments that fit its schema.

    Where the choice is the model's, it is answered, too.

    A pass does not say that a model chooses well, or that the parser of yours reads what it writes: this
    server has the parser ``hermes``, and is told to call.
    """
    for way, choice in CHOICES.items():
        call = _called(bounded_server, way, choice)
        expect(f"the tool of a {way} call:", NAME, call.function.name)
        expect_fits(f"the arguments of a {way} call", call.function.arguments)
    answer = bounded_server.ask("an answer with tools", _question(tool_choice="auto")).choices[0]
    said = answer.message.content or answer.message.tool_calls
    expect_that("an answer or a call where the model may choose", bool(said), answer)


def _called(server: LiveServer, way: str, choice: Any) -> Any:
    """The call in the first answer that ends by itself. Raises Mismatch where there is none."""
    for seed in range(_TRIES):
        asked = _question(tool_choice=choice, max_completion_tokens=_ROOM, temperature=1, seed=seed)
        answer = server.ask(f"a {way} call", asked).choices[0]
        if answer.finish_reason != "length":
            expect_that(f"one call in a {way} one", len(answer.message.tool_calls or ()) == 1, answer.message)
            return answer.message.tool_calls[0]
    raise Mismatch(f"a {way} call that ends within {_ROOM} tokens", f"{answer.message.content!r}")


def _question(**more: Any) -> Callable[[OpenAI], Any]:
    return lambda client: converse(client, tools=[TOOL], **more)
