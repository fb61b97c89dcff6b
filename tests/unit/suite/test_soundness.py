"""Answers that no sound server gives are refused, whatever the model; dull ones beside others are not."""

from __future__ import annotations

import math

import pytest

from pipeline.suite.answers import Answer
from pipeline.suite.expect import Mismatch
from pipeline.suite.soundness import expect_seeded, expect_sound, is_loop

BEST = (-0.1, -4.0, -5.0, -6.0, -7.0)


def _answer(*tokens: int, best: tuple[float, ...] = BEST) -> Answer:
    return Answer(tokens, (best,) * len(tokens))


SAID = _answer(*range(16))


@pytest.mark.parametrize("tokens", [[5] * 16, [1, 2, 3, *[4, 5] * 7], [1, 2, 3, 4] * 6, []])
def test_one_thing_for_ever_is_a_loop(tokens: list[int]) -> None:
    """Also where some words come before it."""
    assert is_loop(tokens)
    with pytest.raises(Mismatch, match=r"no loop|not empty"):
        expect_sound([_answer(*tokens), _answer(*tokens)])


@pytest.mark.parametrize(
    "tokens", [[1], [1, 2], [1, 1, 2], [*range(16)], [1, 2, 3, 4, 5] * 4, [*[7] * 8, 1, 2]]
)
def test_other_answers_are_none(tokens: list[int]) -> None:
    """One of a few tokens is too short to tell."""
    assert not is_loop(tokens)


def test_one_answer_may_be_dull_and_not_all_of_them() -> None:
    """A model may have nothing to say to one prompt."""
    expect_sound([SAID, _answer(*[5] * 16), _answer()])
    with pytest.raises(Mismatch, match="not empty"):
        expect_sound([_answer(), _answer()])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.5])
def test_what_is_no_log_probability_is_refused_in_any_answer(value: float) -> None:
    """Not a number compares with nothing, so a tolerance alone lets it pass behind a larger deviation."""
    with pytest.raises(Mismatch, match="prompt 2: log-probabilities"):
        expect_sound([SAID, _answer(1, 2, 3, best=(-0.1, value, -5.0, -6.0, -7.0))])


def test_a_seed_is_repeatable_and_another_one_differs() -> None:
    expect_seeded("an answer", lambda seed: [seed, seed + 1])


def test_a_server_that_forgets_the_seed_is_refused() -> None:
    drawn = iter(range(100))
    with pytest.raises(Mismatch, match="again"):
        expect_seeded("an answer", lambda _: [next(drawn)])


def test_a_server_that_ignores_the_seed_is_refused() -> None:
    with pytest.raises(Mismatch, match="differs with another seed"):
        expect_seeded("an answer", lambda _: [4])
