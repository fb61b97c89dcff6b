"""The golden answers of the tiny model: prompts, and the greedy tokens that must follow them.

``python -m pipeline.suite.golden`` writes ``golden.json`` again; only a change of the model requires it.
The answers come from the model in numpy. Each prompt carries a number, and that number is the first for
which the best logit beats the second by ``MARGIN`` at every step, the answer has ``VARIETY`` different
tokens, and another first byte of the prompt gives another answer (so distant context matters).
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.suite.tiny_model import Forward

FILE = Path(__file__).with_name("golden.json")
STEPS = 64
MARGIN = 0.1
"""In logits, which spread by about 4; float32 arithmetic in another order moves them by less than 0.0001."""
VARIETY = 12
TEXTS = (
    "Hi.",
    "The capital of France is",
    "Proof before tag: a mismatch shows in production.",
    "One wheel is compiled for one CUDA, one extension for one PyTorch, and the driver must be new enough.",
    "Long prompts cross the borders of cache blocks. " * 5,
    "A prompt of this length fills most of the context that the server was given. " * 4,
)


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
    """The answers for one model, named by its digest."""

    model: str
    answers: tuple[Answer, ...]


def read() -> Golden:
    """The golden answers that were committed with the suite."""
    raw = json.loads(FILE.read_text())
    return Golden(raw["model"], tuple(Answer(a["prompt"], tuple(a["tokens"])) for a in raw["answers"]))


def make() -> Golden:
    """The golden answers, computed; the same on every machine."""
    from pipeline.suite import tiny_model  # noqa: PLC0415 - to read them, as a plan does, takes no numpy

    forward = tiny_model.Forward()
    return Golden(tiny_model.contents_digest(), tuple(_first_clear(forward, text) for text in TEXTS))


def _first_clear(forward: Forward, text: str) -> Answer:
    for number in itertools.count(1):
        prompt = f"{number}. {text}"
        tokens, margin = forward.generate(list(prompt.encode()), STEPS)
        if margin >= MARGIN and len(set(tokens)) >= VARIETY:
            other, _ = forward.generate(list(b"#" + prompt.encode()[1:]), STEPS)
            if other != tokens:
                return Answer(prompt, tuple(tokens))
    raise AssertionError("itertools.count never ends")


def text_of(golden: Golden) -> str:
    """The content of ``golden.json``."""
    answers = [{"prompt": a.prompt, "tokens": list(a.tokens)} for a in golden.answers]
    rows = ",\n".join(f"    {json.dumps(answer)}" for answer in answers)
    return f'{{\n  "model": "{golden.model}",\n  "answers": [\n{rows}\n  ]\n}}\n'


if __name__ == "__main__":
    FILE.write_text(text_of(make()))
