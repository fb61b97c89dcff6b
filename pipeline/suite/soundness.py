"""What no sound server answers, whatever the model: nothing, one thing for ever, another at each try."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.suite.expect import expect_that, expect_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.suite.answers import Answer

MAX_PERIOD = 4
"""Tokens of a loop: a longer one may be a list or a table."""
ROUNDED = 0.001
"""What rounding may leave above zero, the largest of all log-probabilities."""
SEED, OTHER_SEEDS = 7, (8, 9, 10)


def expect_sound(answers: Sequence[Answer]) -> None:
    """Raise Mismatch if any log-probability is no such thing, or no answer says anything.

    One answer may well be empty or a loop. Where all of them are, the image computes nonsense, or the model
    cannot show whether it does.
    """
    for index, answer in enumerate(answers):
        wrong = [value for best in answer.best for value in best if not -math.inf < value < ROUNDED]
        expect_that(f"prompt {index + 1}: log-probabilities, at most 0", not wrong, wrong[:3])
    tokens = [list(answer.tokens) for answer in answers]
    expect_that("an answer that is not empty", any(tokens), "none")
    expect_that(
        f"an answer that is no loop of {MAX_PERIOD} tokens or fewer", not all(map(is_loop, tokens)), tokens
    )


def is_loop(tokens: Sequence[int]) -> bool:
    """Whether the second half of an answer only repeats a few tokens; one of a few tokens is none."""
    half = tokens[len(tokens) // 2 :]
    periods = range(1, min(MAX_PERIOD, len(half) // 2) + 1)
    return not tokens or any(half[period:] == half[:-period] for period in periods)


def expect_seeded(what: str, ask: Callable[[int], list[int]]) -> None:
    """Raise Mismatch unless a question with a seed has one answer, and another with another seed.

    ``ask`` returns the tokens that are drawn with a seed.
    """
    first = ask(SEED)
    expect_tokens(f"{what} with seed {SEED} again", first, ask(SEED))
    expect_that(
        f"{what} that differs with another seed", any(ask(seed) != first for seed in OTHER_SEEDS), first
    )
