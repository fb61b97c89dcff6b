"""A quantised model stands for known weights, near those of the tiny model, as its format says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.suite import golden, tiny_model
from pipeline.suite.checks.check_modes import DEVIATION
from pipeline.suite.dtypes import BEST
from pipeline.suite.forward import Forward, bfloat16
from pipeline.suite.models import quantised
from pipeline.suite.models.quantised import E4M3, GROUP, METHODS, e4m3_codes
from pipeline.suite.modes import PROMPTS, STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "model.layers.0.mlp.down_proj"
AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""In which place of a word AWQ has each of eight columns."""


def stored(method: str) -> dict[str, Any]:
    """What the file has of one projection, by the end of its name, as numpy reads it."""
    raw = quantised.contents(method)["model.safetensors"]
    start = 8 + int.from_bytes(raw[:8], "little")
    types = {"I32": np.int32, "F16": np.float16, "F32": np.float32, "I8": np.int8, "F8_E4M3": np.uint8}
    return {
        name.removeprefix(f"{NAME}."): np.frombuffer(
            raw[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]], types[entry["dtype"]]
        ).reshape(entry["shape"])
        for name, entry in json.loads(raw[8:start]).items()
        if name.startswith(NAME)
    }


def places(words: Any) -> Any:
    """The eight numbers of four bits in each word, the lowest bits first, as a last axis."""
    return (words.view(np.uint32)[..., None] >> (4 * np.arange(8, dtype=np.uint32))) & 15


def as_gptq_reads(of: dict[str, Any]) -> Any:
    numbers = places(of["qweight"]).transpose(0, 2, 1).reshape(-1, of["qweight"].shape[1])
    zeros = places(of["qzeros"]).reshape(len(of["qzeros"]), -1) + 1
    return (numbers.astype(int) - zeros[of["g_idx"]]) * of["scales"].astype(np.float32)[of["g_idx"]]


def as_awq_reads(of: dict[str, Any]) -> Any:
    numbers, zeros = (
        places(of[name])[..., AWQ_PLACES].reshape(len(of[name]), -1).astype(int)
        for name in ("qweight", "qzeros")
    )
    group = np.arange(len(numbers)) // GROUP
    return (numbers - zeros[group]) * of["scales"].astype(np.float32)[group]


def as_fp8_reads(of: dict[str, Any]) -> Any:
    return (E4M3[of["weight"]] * of["weight_scale"]).T


def as_int8_reads(of: dict[str, Any]) -> Any:
    return (of["weight"] * of["weight_scale"]).T


@pytest.mark.parametrize(
    ("method", "read"),
    [("gptq", as_gptq_reads), ("awq", as_awq_reads), ("fp8", as_fp8_reads), ("int8", as_int8_reads)],
)
def test_a_file_read_as_its_format_says_has_the_weights_it_stands_for(
    method: str, read: Callable[[dict[str, Any]], Any]
) -> None:
    np.testing.assert_array_equal(read(stored(method)).T, quantised.weights(method)[f"{NAME}.weight"])


@pytest.mark.parametrize(
    ("method", "share"), [("gptq", 1 / 7), ("awq", 1 / 7), ("fp8", 1 / 8), ("int8", 0.0)]
)
def test_no_weight_is_farther_from_that_of_the_tiny_model_than_its_bits_allow(
    method: str, share: float
) -> None:
    """By half of the distance of two numbers at most, where the largest weights are."""
    exact, made = tiny_model.weights(), quantised.weights(method)
    for name, values in exact.items():
        assert np.abs(made[name] - values).max() <= share * np.abs(values).max()


def test_e4m3_has_the_numbers_of_its_paper() -> None:
    """Table 1: the largest number, the smallest normal one and the smallest of all."""
    assert (E4M3[0b1111110], E4M3[0b0001000], E4M3[0b0000001]) == (448.0, 2.0**-6, 2.0**-9)
    assert E4M3[0b10111000] == -1.0


def test_a_number_between_two_of_e4m3_becomes_the_nearer_one() -> None:
    assert E4M3[e4m3_codes(np.array([1.05, 1.07, -1.07, 1.0625, 500.0, 0.0]))].tolist() == [
        1,
        1.125,
        -1.125,
        1,
        448,
        0,
    ]


def fed_with(narrow: Callable[[Any], Any]) -> type[Forward]:
    """A forward pass whose projections get their inputs in such numbers."""

    class Fed(Forward):
        def _project(self, name: str, state: Any) -> Any:
            return super()._project(name, state if name == "lm_head" else narrow(state))

    return Fed


def in_fp8(state: Any) -> Any:
    scale = np.abs(state).max(-1, keepdims=True) / E4M3.max()
    return E4M3[e4m3_codes(state / scale)] * scale


def in_int8(state: Any) -> Any:
    scale = np.abs(state).max(-1, keepdims=True) / 127
    return np.rint(state / scale) * scale


@pytest.mark.parametrize(
    ("method", "forward"),
    [("gptq", Forward), ("awq", Forward), ("fp8", fed_with(in_fp8)), ("int8", fed_with(in_int8))],
)
def test_arithmetic_leaves_the_golden_tokens_and_moves_the_rest_by_less_than_is_allowed(
    method: str, forward: type[Forward]
) -> None:
    """As kernels calculate: in bfloat16, and with inputs of eight bits where a method has them."""
    weights = quantised.weights(method)
    for answer in golden.read().answers[:PROMPTS]:
        tokens, _ = forward(weights, bfloat16).generate(answer.prompt_tokens, STEPS)
        assert tuple(tokens) == answer.tokens[:STEPS]
        exact, seen = (
            np.array(model.logprobs(answer.prompt_tokens, tokens, BEST))
            for model in (Forward(weights), forward(weights, bfloat16))
        )
        assert np.abs(exact - seen).max() < DEVIATION[method]


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_a_projection_is_not_quantised(method: str) -> None:
    made = quantised.weights(method)
    assert all(
        made[name] is values or np.array_equal(made[name], values)
        for name, values in tiny_model.weights().items()
        if "_proj" not in name
    )
