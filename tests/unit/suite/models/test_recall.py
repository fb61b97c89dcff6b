"""The model made by hand recites what is 32k tokens back, and only with the right positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.suite.models import recall
from pipeline.suite.tiny_model import EPSILON, HEAD_SIZE

PAIRS = HEAD_SIZE // 2


@pytest.mark.parametrize(
    ("turn_by", "recited"),
    [(1 / recall.SCALING, "right"), (1.0, "wrong 0"), (0.0, None), (2 / recall.SCALING, None)],
    ids=["scaled", "not scaled", "no positions", "scaled by half"],
)
def test_the_beginning_is_recited_only_where_positions_are_scaled_as_they_should(
    turn_by: float, recited: str | None
) -> None:
    """Angles that are not scaled lead to the wrong facts, all others to some that are not right."""
    answer = answer_with(turn_by)
    assert (answer == recall.facts("right")) == (recited == "right")
    assert recited is None or answer == recall.facts(recited)


def test_every_claim_about_a_slot_is_another_one() -> None:
    """So a fact that was looked up in the wrong place is never the right one by chance."""
    claims = [recall.facts("right"), *(recall.facts(f"wrong {at}") for at in (0, 1))]
    assert all(len(set(slot)) > 1 for slot in zip(*claims, strict=True))
    assert all(one != other for one, other in zip(claims[0], claims[1], strict=True))


def test_prompt_and_answer_fill_the_context() -> None:
    assert len(recall.prompt()) + recall.SLOTS == recall.CONTEXT


# -- the model in numpy: the query of the last token alone, for the others change nothing ------------------


def answer_with(turn_by: float) -> list[int]:
    """What the model says after its prompt, with the angles of positions scaled by this."""
    made, said = recall.weights(), recall.prompt()
    while len(said) < recall.CONTEXT:
        said.append(next_token(made, np.array(said), turn_by))
    return said[-recall.SLOTS :]


def next_token(made: dict[str, Any], tokens: Any, turn_by: float) -> int:
    embedding = made["model.embed_tokens.weight"].astype(np.float64)
    keys, queries, values = (
        normal(embedding) @ made[f"model.layers.0.self_attn.{name}_proj.weight"].T for name in "kqv"
    )
    places = np.arange(len(tokens)) * turn_by
    query = turned(queries[tokens[-1:]], places[-1:])[0]
    scores = turned(keys[tokens], places) @ query / HEAD_SIZE**0.5
    chance = np.exp(scores - scores.max())
    found = (chance / chance.sum()) @ values[tokens] @ made["model.layers.0.self_attn.o_proj.weight"].T
    return int((made["lm_head.weight"] @ normal(embedding[tokens[-1]] + found)).argmax())


def normal(state: Any) -> Any:
    return state / np.sqrt((state**2).mean(-1, keepdims=True) + EPSILON)


def turned(state: Any, positions: Any) -> Any:
    angles = positions[:, None] / recall.ROPE_BASE ** (np.arange(PAIRS) / PAIRS)
    first, second = state[:, :PAIRS], state[:, PAIRS:]
    return np.concatenate(
        [first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)],
        1,
    )
