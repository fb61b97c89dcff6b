"""A model that was made by hand, not trained: it recites the beginning of a prompt that is 32k tokens long.

A prompt begins with facts. A fact is a token of a slot and a value; a query for a slot looks for facts of it.
The question at the prompt's end asks for the first slot, and each fact that is recited asks for the next one,
so that every token of the answer is looked up at the prompt's beginning. Further facts on the way claim other
values for the same slots, and only their distance tells the right ones: one pair of the rotary embedding
makes less than half a turn over the whole context, and a query looks for what lies almost half a turn back.

Positions are scaled, as in models whose context was extended: with angles that are four times as large, the
wrong facts are as near to half a turn as the right ones are with the right angles.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save

from pipeline.suite import tiny_model
from pipeline.suite.tiny_model import HEAD_SIZE, HIDDEN, INNER, VOCABULARY

if TYPE_CHECKING:
    from pipeline.suite.tiny_model import Array

CONTEXT = 32768
"""Tokens of a prompt and its answer."""
SCALING = 4
"""The context is so many times the one that the embedding was made for."""
ROPE_BASE = 1e8
PROMPT = "prompt.json"
"""The file of the prompt: it is too long for an argument of a program."""
SLOTS, VALUES = 8, 8
QUESTION, FILLER, FIRST_FACT = 63, 32, 64
WRONG_FACTS_BEFORE_END = (9935, 64)
"""How far before the end of the prompt others claim to be the facts.

At 9935 tokens the pair that tells distances would have turned by half a turn if positions were not scaled.
"""

_PAIRS = HEAD_SIZE // 2
_DISTANCE_PAIR = 14
"""It turns by 2.6 over the whole context, 7.9e-5 at each token."""
_FIRST_SLOT_PAIR = _PAIRS - SLOTS
"""The slowest pairs, which turn by less than 0.02: a slot has one of them."""
_ASKED, _KEPT = 1.0, 2.0
"""How strongly a query and a key say each of the two things: a score is 16 for each that they agree on."""
_SLOT, _VALUE, _QUESTION, _FILLER = 0, SLOTS, 16, 17
"""Where the state of a token says what it is: two ones."""
_FOUND = 32
"""Where it says what was found, slot and value."""
_CLEAR = 2.0
"""The weight of the output rows: a token leads by eleven in its logit."""


def facts(name: str) -> list[int]:
    """A fact for each slot, with values from a hash of this name."""
    drawn = hashlib.sha256(name.encode()).digest()
    return [FIRST_FACT + slot * VALUES + drawn[slot] % VALUES for slot in range(SLOTS)]


def prompt() -> list[int]:
    """A prompt that fills the context but for its answer, which is ``facts("right")``."""
    tokens = [FILLER] * (CONTEXT - SLOTS)
    tokens[:SLOTS] = facts("right")
    for number, before in enumerate(WRONG_FACTS_BEFORE_END):
        start = len(tokens) - before
        tokens[start : start + SLOTS] = facts(f"wrong {number}")
    tokens[-1] = QUESTION
    return tokens


def contents() -> dict[str, bytes]:
    """File name to bytes of the model."""
    shipped = tiny_model.contents()
    config = json.loads(shipped["config.json"]) | {
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "max_position_embeddings": CONTEXT // SCALING,
        "rope_theta": ROPE_BASE,
        "rope_scaling": {"rope_type": "linear", "factor": float(SCALING)},
    }
    return shipped | {
        "config.json": (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
        "model.safetensors": save(weights(), metadata={"format": "pt"}),
        PROMPT: (json.dumps(prompt()) + "\n").encode(),
    }


def weights() -> dict[str, Array]:
    """Tensor name to float32 values."""
    layer, ones = "model.layers.0", np.ones(HIDDEN, np.float32)
    return {
        "model.embed_tokens.weight": _embedding(),
        f"{layer}.input_layernorm.weight": ones,
        f"{layer}.self_attn.q_proj.weight": _query(),
        f"{layer}.self_attn.k_proj.weight": _key(),
        f"{layer}.self_attn.v_proj.weight": _placed(
            {(at, at): 1.0 for at in range(_QUESTION)}, HEAD_SIZE, HIDDEN
        ),
        # Two ones of 128 have a norm by which they are eight: a one again is what is found.
        f"{layer}.self_attn.o_proj.weight": _placed(
            {(_FOUND + at, at): 1 / 8 for at in range(_QUESTION)}, HIDDEN, HEAD_SIZE
        ),
        f"{layer}.post_attention_layernorm.weight": ones,
        f"{layer}.mlp.gate_proj.weight": np.zeros((INNER, HIDDEN), np.float32),
        f"{layer}.mlp.up_proj.weight": np.zeros((INNER, HIDDEN), np.float32),
        f"{layer}.mlp.down_proj.weight": np.zeros((HIDDEN, INNER), np.float32),
        "model.norm.weight": ones,
        "lm_head.weight": _placed(_of_facts(_FOUND, _CLEAR), VOCABULARY, HIDDEN),
    }


def _embedding() -> Array:
    others = {
        (QUESTION, _QUESTION): 1.0,
        (QUESTION, HIDDEN - 1): 1.0,
        (FILLER, _FILLER): 1.0,
        (FILLER, HIDDEN - 1): 1.0,
    }
    return _placed(_of_facts(_SLOT, 1.0) | others, VOCABULARY, HIDDEN)


def _of_facts(start: int, weight: float) -> dict[tuple[int, int], float]:
    """In the row of every fact, this weight at its slot and at its value; the slots begin at ``start``."""
    placed = {}
    for slot in range(SLOTS):
        for value in range(VALUES):
            token = FIRST_FACT + slot * VALUES + value
            placed[token, start + slot] = placed[token, start + _VALUE + value] = weight
    return placed


def _query() -> Array:
    """A fact asks for the slot after its own, the question for the first; both for what is far back."""
    asked = {(_FIRST_SLOT_PAIR + (slot + 1) % SLOTS, _SLOT + slot): _ASKED for slot in range(SLOTS)}
    asked[_FIRST_SLOT_PAIR, _QUESTION] = _ASKED
    asked |= {(_DISTANCE_PAIR, at): -_ASKED for at in (*range(_SLOT, _SLOT + SLOTS), _QUESTION)}
    return _placed(asked, HEAD_SIZE, HIDDEN)


def _key() -> Array:
    """A fact says its slot, and that it is one."""
    kept = {(_FIRST_SLOT_PAIR + slot, _SLOT + slot): _KEPT for slot in range(SLOTS)}
    kept |= {(_DISTANCE_PAIR, _SLOT + slot): _KEPT for slot in range(SLOTS)}
    return _placed(kept, HEAD_SIZE, HIDDEN)


def _placed(values: dict[tuple[int, int], float], rows: int, columns: int) -> Array:
    """A matrix of zeros but for these values by row and column."""
    matrix = np.zeros((rows, columns), np.float32)
    for at, value in values.items():
        matrix[at] = value
    return matrix
