"""An answer is compared with its reference as far as the number type lets it be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.suite.answers import answer_of, clear_until, expect_reference
from pipeline.suite.dtypes import TOLERANCE, clear, expect_logprobs
from pipeline.suite.expect import Mismatch

SURE, UNSURE = [-0.1, -4.0, -5.0, -6.0, -7.0], [-0.5, -0.9, -5.0, -6.0, -7.0]


def _choice(**changes: Any) -> SimpleNamespace:
    top = [{f"token_id:{index}": value for index, value in enumerate(SURE)}] * 3
    good = {"token_ids": [1, 2, 3], "finish_reason": "length", "logprobs": SimpleNamespace(top_logprobs=top)}
    return SimpleNamespace(**(good | changes))


def test_the_largest_log_probabilities_come_first_whatever_the_order() -> None:
    """A server lists the chosen token first, then the others."""
    upside = [dict(reversed({f"{index}": value for index, value in enumerate(SURE)}.items()))] * 3
    answer = answer_of(_choice(logprobs=SimpleNamespace(top_logprobs=upside)))
    assert answer.best == (tuple(SURE),) * 3


def test_an_end_of_text_is_no_part_of_an_answer() -> None:
    """The reference has none either."""
    answer = answer_of(_choice(finish_reason="stop"))
    assert (answer.tokens, len(answer.best)) == ((1, 2), 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"logprobs": None},
        {"logprobs": SimpleNamespace(top_logprobs=None)},
        {"logprobs": SimpleNamespace(top_logprobs=[{"a": -0.1}] * 3)},
        {"logprobs": SimpleNamespace(top_logprobs=[])},
        {"token_ids": None},
    ],
)
def test_an_answer_without_what_was_asked_for_is_a_mismatch(changes: dict[str, Any]) -> None:
    """Nothing is compared with nothing."""
    with pytest.raises(Mismatch):
        answer_of(_choice(**changes))


def test_tokens_count_up_to_the_first_that_the_type_may_choose_otherwise() -> None:
    """What follows it is an answer to another text."""
    reference = {"tokens": [1, 2, 3], "logprobs": [SURE, UNSURE, SURE]}
    assert expect_reference("a", reference, [1, 9, 9], "bfloat16") == 1
    with pytest.raises(Mismatch, match="2 as token 2"):
        expect_reference("a", reference, [1, 9, 9], "float32")


def test_a_type_may_move_two_log_probabilities_towards_each_other() -> None:
    """So a margin is clear from twice the tolerance on."""
    for dtype in TOLERANCE:
        assert clear_until([[-0.1, -0.1 - clear(dtype) * 1.01]], dtype) == 1
        assert clear_until([[-0.1, -0.1 - clear(dtype) * 0.99]], dtype) == 0


def test_the_largest_deviation_is_returned_and_one_beyond_the_tolerance_is_a_mismatch() -> None:
    """Its token is named, with what was expected there."""
    moved = [SURE, [SURE[0], SURE[1] + 0.09, *SURE[2:]]]
    assert expect_logprobs("a", [SURE, SURE], moved, "float32") == pytest.approx(0.09)
    moved[0] = [SURE[0] - 0.11, *SURE[1:]]
    with pytest.raises(Mismatch, match=r"within 0\.1 at token 1"):
        expect_logprobs("a", [SURE, SURE], moved, "float32")
