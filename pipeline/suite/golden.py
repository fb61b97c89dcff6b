"""The golden answers of the tiny model: prompts, and the greedy tokens that must follow them.

``fitting.py`` makes them together with the model's output rows: at every step of every answer the best
logit beats the second by ``MARGIN``, far more than any arithmetic moves them. Each prompt carries a number,
and that number is the first for which its first byte matters: another one gives another answer, so an
attention that loses distant context is found out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("golden.json")
STEPS = 96
"""Tokens of an answer: some borders of cache blocks, and long enough to overlap with other answers."""
MARGIN = 3.0
"""In logits. Arithmetic in bfloat16 moves the difference of two of them by less than a fourth of it."""
VARIETY = 12
MESSAGE = "Say which wheel was compiled for which CUDA."
CHAT_STEPS = 24


@dataclass(frozen=True)
class Answer:
    """A prompt and the tokens that must follow it, greedily."""

    prompt: str
    tokens: tuple[int, ...]

    @property
    def prompt_tokens(self) -> list[int]:
        """The prompt as the tiny model's tokenizer reads it: each byte is a token."""
        return list(self.prompt.encode())


@dataclass(frozen=True)
class Golden:
    """The answers for one model, named by its digest; ``chat`` to the prompt made of ``MESSAGE``."""

    model: str
    answers: tuple[Answer, ...]
    chat: Answer


def read() -> Golden:
    """The golden answers that were committed with the suite."""
    raw = json.loads(FILE.read_text())
    return Golden(raw["model"], tuple(map(_answer, raw["answers"])), _answer(raw["chat"]))


def _answer(raw: dict[str, str | list[int]]) -> Answer:
    return Answer(str(raw["prompt"]), tuple(map(int, raw["tokens"])))


def text_of(golden: Golden) -> str:
    """The content of ``golden.json``."""
    rows = ",\n".join(f"    {_text_of(answer)}" for answer in golden.answers)
    chat = _text_of(golden.chat)
    return f'{{\n  "model": "{golden.model}",\n  "answers": [\n{rows}\n  ],\n  "chat": {chat}\n}}\n'


def _text_of(answer: Answer) -> str:
    return json.dumps({"prompt": answer.prompt, "tokens": list(answer.tokens)})
