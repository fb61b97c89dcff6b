"""The small network that is trained: its numbers are exact in every type, and its loss depends on all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.suite import training
from pipeline.suite.checks import check_pytorch
from pipeline.suite.expect import Mismatch
from pipeline.suite.forward import bfloat16, float16

MAX_ARGUMENT = 128 << 10
"""Bytes of one argument of a program, on Linux (``MAX_ARG_STRLEN`` in its ``binfmts.h``)."""


def test_every_number_type_holds_the_weights_exactly() -> None:
    for values in training.weights().values():
        assert np.array_equal(bfloat16(values), values)
        assert np.array_equal(float16(values), values)


def test_the_tokens_are_those_of_the_vocabulary() -> None:
    tokens = [token for row in training.tokens() for token in row]
    assert len(tokens) == training.ROWS * training.LENGTH
    assert set(tokens) <= set(range(training.VOCABULARY))


def test_the_loss_depends_on_every_weight() -> None:
    """A gradient that is lost moves a slope by more than the tolerance."""
    assert min(map(abs, training.slopes().values())) > 0.1


def test_no_token_is_told_from_those_after_it() -> None:
    """Attention looks back only: another last one changes nothing before it."""
    projected = training._drawn("any", (1, 6, 3 * training.WIDTH)) / 128
    attended = training._attended(projected)
    projected[:, -1] = 0
    assert np.array_equal(attended[:, :-1], training._attended(projected)[:, :-1])


def test_the_question_and_a_checkpoint_fit_into_one_argument() -> None:
    """A checkpoint in base64, of each weight and its two moments, in four bytes each, and as much again."""
    numbers = sum(values.size for values in training.weights().values())
    assert len(json.dumps(training.question("cuda"))) + 2 * (numbers * 3 * 4 * 4 // 3) < MAX_ARGUMENT


@pytest.mark.parametrize("seen", [1.003, float("nan"), None, "1"])
def test_a_number_that_is_not_close_is_refused(seen: object) -> None:
    """So is one that is none."""
    assert check_pytorch._expect_close("loss", 1.0, 1.001) == pytest.approx(0.001)
    with pytest.raises(Mismatch, match=r"the loss: 1\.000000 within 0\.2%"):
        check_pytorch._expect_close("loss", 1.0, seen)
