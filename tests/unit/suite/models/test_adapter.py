"""The adapter changes every answer, and by how much is known."""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import load

from pipeline.suite import golden, tiny_model
from pipeline.suite.checks.check_modes import DEVIATION
from pipeline.suite.dtypes import BEST
from pipeline.suite.forward import Forward, bfloat16
from pipeline.suite.models import adapter
from pipeline.suite.modes import PROMPTS, STEPS


def test_the_files_added_to_the_tiny_model_are_the_weights_it_stands_for() -> None:
    """By the rule of PEFT: the product of both parts, times alpha over the rank."""
    files = adapter.contents()
    config, parts = json.loads(files["adapter_config.json"]), load(files["adapter_model.safetensors"])
    for name, values in adapter.weights().items():
        key = f"base_model.model.{name.removesuffix('.weight')}"
        down, up = parts.pop(f"{key}.lora_A.weight", None), parts.pop(f"{key}.lora_B.weight", None)
        added = 0.0 if down is None or up is None else config["lora_alpha"] / config["r"] * (up @ down)
        np.testing.assert_array_equal(values, tiny_model.weights()[name] + added)
    assert not parts


def test_answers_with_it_are_others_by_far_more_than_arithmetic_moves_them() -> None:
    base, adapted, rounded = Forward(), Forward(adapter.weights()), Forward(adapter.weights(), bfloat16)
    for answer in golden.read().answers[:PROMPTS]:
        tokens, _ = rounded.generate(answer.prompt_tokens, STEPS)
        assert tuple(tokens) != answer.tokens[:STEPS]
        exact, other, seen = (
            np.array(model.logprobs(answer.prompt_tokens, tokens, BEST)) for model in (adapted, base, rounded)
        )
        assert np.abs(exact - seen).max() < DEVIATION["lora"] < np.abs(exact - other).max() / 4
