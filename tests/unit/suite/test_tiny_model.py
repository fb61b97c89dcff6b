"""The tiny model is the same everywhere, and its answers are clear ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.suite import golden, tiny_model
from pipeline.suite.dtypes import BEST, TOLERANCE, clear
from pipeline.suite.forward import Forward, bfloat16, float16
from pipeline.suite.model import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.suite.dtypes import Dtype

ANSWERS = golden.read().answers


@pytest.fixture(scope="module")
def forward() -> Forward:
    """The model in numpy."""
    return Forward()


def test_the_bytes_are_those_that_the_golden_answers_were_made_for(tmp_path: Path) -> None:
    """Any machine writes the model that golden.json names."""
    assert tiny_model.write(tmp_path / "model") == golden.read().model == digest_of(tmp_path / "model")


def test_every_file_can_be_read_by_any_user(tmp_path: Path) -> None:
    """An image runs as a user that we do not know."""
    tiny_model.write(tmp_path / "model")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()} == {0o644}
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o755


def test_a_second_write_touches_nothing(tmp_path: Path) -> None:
    """Another run that uses the model meanwhile is not disturbed."""
    tiny_model.write(tmp_path / "model")
    before = (tmp_path / "model").stat().st_ino
    tiny_model.write(tmp_path / "model")
    assert (tmp_path / "model").stat().st_ino == before


def test_a_damaged_model_is_written_anew(tmp_path: Path) -> None:
    """A file cut short, or one too many, is not used."""
    digest = tiny_model.write(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "extra").touch()
    assert tiny_model.write(tmp_path / "model") == digest
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_many_may_write_at_once(tmp_path: Path) -> None:
    """Everyone finds a whole model, and none takes away what another has just written."""
    with ThreadPoolExecutor(8) as pool:
        written = set(pool.map(tiny_model.write, [tmp_path / "model"] * 24))
    assert written == {golden.read().model}
    assert digest_of(tmp_path / "model") == golden.read().model
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_digest_sees_one_changed_byte_and_one_changed_name(tmp_path: Path) -> None:
    """A digest over names and bytes."""
    tiny_model.write(tmp_path)
    seen = {digest_of(tmp_path)}
    (tmp_path / "config.json").write_bytes((tmp_path / "config.json").read_bytes() + b" ")
    seen.add(digest_of(tmp_path))
    (tmp_path / "config.json").rename(tmp_path / "other.json")
    assert len(seen | {digest_of(tmp_path)}) == 3


def test_the_weights_are_float32(tmp_path: Path) -> None:
    """Every server converts them to the type that it is asked for, as servers of float32 models do."""
    tiny_model.write(tmp_path / "model")
    assert {str(value.dtype) for value in load_file(tmp_path / "model" / "model.safetensors").values()} == {
        "float32"
    }


@pytest.mark.parametrize("answer", [*ANSWERS, golden.read().chat], ids=lambda answer: answer.prompt[:16])
def test_a_golden_answer_is_the_models_own_and_clear(answer: golden.Answer, forward: Forward) -> None:
    """The best token beats the second by the stated margin at every step."""
    tokens, margin = forward.generate(answer.prompt_tokens, len(answer.tokens))
    assert tuple(tokens) == answer.tokens
    assert margin >= golden.MARGIN


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.prompt[:16])
def test_a_golden_answer_depends_on_its_whole_prompt(answer: golden.Answer, forward: Forward) -> None:
    """Another first byte gives another answer, so attention reaches back to the start."""
    tokens, _ = forward.generate(list(b"#" + answer.prompt.encode()[1:]), golden.STEPS)
    assert tuple(tokens) != answer.tokens


@pytest.mark.parametrize("rounded", [bfloat16, float16])
def test_every_number_type_holds_the_very_same_weights(rounded: Callable[[Any], Any]) -> None:
    """So a server in bfloat16 and one in float32 differ in arithmetic alone."""
    for name, value in tiny_model.weights().items():
        assert np.array_equal(rounded(value), value), name


def test_numbers_are_rounded_as_bfloat16_rounds_them() -> None:
    """To nearest, and of two that are equally near the even one."""
    values = [1.0, 1 + 2**-9, 1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8 + 2**-20)]
    rounded = [1.0, 1.0, 1.0, 1 + 2**-6, -(1 + 2**-7)]
    assert bfloat16(np.array(values)).tolist() == rounded


@pytest.mark.parametrize(("dtype", "rounded"), [("bfloat16", bfloat16), ("float16", float16)])
@pytest.mark.parametrize("answer", [*ANSWERS, golden.read().chat], ids=lambda answer: answer.prompt[:16])
def test_arithmetic_of_a_number_type_moves_no_logit_far(
    answer: golden.Answer, dtype: Dtype, rounded: Callable[[Any], Any], forward: Forward
) -> None:
    """The margin is many times what rounding every result moves, the tolerance twice as much."""
    tokens = list(answer.tokens)
    exact, seen = (
        model.logits(answer.prompt_tokens, tokens) for model in (forward, Forward(rounded=rounded))
    )
    chosen = np.arange(len(tokens)), tokens
    moved = np.abs((seen[chosen][:, None] - seen) - (exact[chosen][:, None] - exact))
    assert moved.max() < golden.MARGIN / 8
    largest, others = (
        np.array(model.logprobs(answer.prompt_tokens, tokens, BEST))
        for model in (forward, Forward(rounded=rounded))
    )
    assert np.abs(largest - others).max() < TOLERANCE[dtype] / 2
    assert seen.argmax(1).tolist() == tokens


def test_no_type_may_choose_another_token_than_the_golden_one() -> None:
    """Each of two log-probabilities may move by the tolerance, towards each other."""
    assert all(clear(dtype) < golden.MARGIN / 2 for dtype in TOLERANCE)


def test_golden_answers_are_varied_printable_and_never_end_early() -> None:
    """No answer has collapsed into one token, none is another's, none holds an end of text."""
    assert len({answer.tokens for answer in ANSWERS}) == len(ANSWERS)
    for answer in ANSWERS:
        assert len(answer.tokens) == golden.STEPS
        assert len(set(answer.tokens)) >= golden.VARIETY
        assert set(answer.tokens) <= set(tiny_model.PRINTABLE)


def test_golden_prompts_have_different_lengths_one_of_them_long() -> None:
    """Short and long requests run together in a batch, and the long one still fits the context."""
    lengths = sorted(len(answer.prompt) for answer in ANSWERS)
    assert len(set(lengths)) == len(lengths) >= 6
    assert 256 < lengths[-1] <= 512 - golden.STEPS
