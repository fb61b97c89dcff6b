"""How the tiny model's output rows are fitted to its golden answers.

``python -m pipeline.suite.fitting`` writes ``tiny_head.json`` and ``golden.json`` again; only a change of the
model, its prompts or its answers requires it. A model whose weights are all random chooses between near
ties every few steps, and arithmetic in bfloat16 then chooses otherwise. This one knows its answers: they are
random tokens, each step of each one is a point (what the body makes of all that stands before it), and the
output rows are those that tell the points apart by the widest margin. A body that computes something else
arrives at other points, and the answer is another.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.suite import golden, tiny_model
from pipeline.suite.forward import Forward
from pipeline.suite.golden import CHAT_STEPS, MESSAGE, STEPS, Answer, Golden
from pipeline.suite.tiny_model import PRINTABLE

TEXTS = (
    "Hi.",
    "The capital of France is",
    "Proof before tag: a mismatch shows in production.",
    "One wheel is compiled for one CUDA, one extension for one PyTorch, and the driver must be new enough.",
    "Long prompts cross the borders of cache blocks. " * 5,
    "A prompt of this length fills most of the context that the server was given. " * 4,
)
OTHER = "#"
"""The first byte of a prompt that must not be answered like the prompt itself."""
FAR = 0.5
"""How far, relative to its length, another first byte must move a point somewhere in the answer."""
MARGIN = 1.1 * golden.MARGIN
"""What the rows are scaled to, before they are made of whole numbers."""
_WANTED = 16.0
_ROUNDS = 4000
_SHRINK = 1e-5
_RATE = 0.02


@dataclass(frozen=True)
class Point:
    """What the body makes of a text, and the token that must follow it."""

    state: Any
    token: int


def make() -> tuple[str, Golden]:
    """The content of ``tiny_head.json``, and the golden answers of the model with it but for its digest."""
    forward = Forward(tiny_model.body())
    answers = [_answer(forward, text) for text in TEXTS]
    chat = Answer(f"user: {MESSAGE}\nassistant: ", _tokens(MESSAGE)[:CHAT_STEPS])
    points = [point for answer in [*answers, chat] for point in _points(forward, answer)]
    points += [_contrast(forward, answer) for answer in answers]
    return tiny_model.text_of_head(_fitted(points)), Golden("", tuple(answers), chat)


def _tokens(text: str) -> tuple[int, ...]:
    """The answer to a text: tokens from a hash function, so none can be guessed from those before."""
    drawn = np.frombuffer(hashlib.shake_256(text.encode()).digest(4 * STEPS), "<u4").astype(np.int64)
    return tuple(int(token) for token in PRINTABLE.start + (drawn * len(PRINTABLE) >> 32))


def _answer(forward: Forward, text: str) -> Answer:
    """The text with the first number with which its first byte matters, and the answer to it."""
    for number in itertools.count(1):
        answer = Answer(f"{number}. {text}", _tokens(text))
        if _moved(forward, answer).max() >= FAR:
            return answer
    raise AssertionError("itertools.count never ends")


def _moved(forward: Forward, answer: Answer) -> Any:
    """How far another first byte moves each point of an answer, relative to its length."""
    points, others = (forward.states(prompt, list(answer.tokens)) for prompt in _prompts(answer))
    return np.linalg.norm(others - points, axis=1) / np.linalg.norm(points, axis=1)


def _prompts(answer: Answer) -> tuple[list[int], list[int]]:
    """The prompt of an answer, and the one with another first byte."""
    return answer.prompt_tokens, [*OTHER.encode(), *answer.prompt_tokens[1:]]


def _points(forward: Forward, answer: Answer) -> list[Point]:
    states = forward.states(answer.prompt_tokens, list(answer.tokens))
    return [Point(state, token) for state, token in zip(states, answer.tokens, strict=True)]


def _contrast(forward: Forward, answer: Answer) -> Point:
    """Where another first byte moves the answer most, another token than the answer's must follow."""
    at = int(_moved(forward, answer).argmax())
    state = forward.states(_prompts(answer)[1], list(answer.tokens))[at]
    return Point(state, next(token for token in _tokens(answer.prompt) if token != answer.tokens[at]))


def _fitted(points: list[Point]) -> Any:
    """The rows that tell the points apart: descent (Adam) on a logistic loss with a margin.

    All other tokens have rows of zeros, so the right row has to beat zero too.
    """
    states = np.array([point.state for point in points])
    right = np.eye(len(PRINTABLE) + 1)[[point.token - PRINTABLE.start for point in points]]
    rows = np.zeros((right.shape[1], states.shape[1]))
    mean, square = np.zeros_like(rows), np.zeros_like(rows)
    for round_ in range(_ROUNDS):
        slope = (_chances(states @ rows.T + _WANTED * (1 - right)) - right).T @ states
        slope += _SHRINK * len(points) * rows
        slope[-1] = 0
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        step = mean / (1 - 0.9 ** (round_ + 1)) / (np.sqrt(square / (1 - 0.999 ** (round_ + 1))) + 1e-8)
        rows -= _RATE * (1 - round_ / _ROUNDS) * step
    return (rows * MARGIN / _margin(states @ rows.T, right))[:-1]


def _chances(logits: Any) -> Any:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def _margin(logits: Any, right: Any) -> float:
    """By how much the right token wins, where it is least clear."""
    others = np.where(right == 1, -np.inf, logits).max(1)
    return float(((logits * right).sum(1) - others).min())


def main() -> None:
    """Write both files, and say how clear the answers are."""
    head, made = make()
    tiny_model.HEAD.write_text(head)
    whole = Golden(tiny_model.contents_digest(), made.answers, made.chat)
    golden.FILE.write_text(golden.text_of(whole))


if __name__ == "__main__":
    main()
