"""The small network that is trained, in numpy and float64: its loss, and how that changes with the weights.

Weights and tokens come from a hash, so that they are the same everywhere. Weights are whole numbers of at
most seven bits times a power of two, which every number type holds exactly.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

VOCABULARY, WIDTH = 32, 16
ROWS, LENGTH = 4, 24
STEPS = 4
RATE = 0.01
"""Of AdamW, by which each weight moves at most in one step."""
TOLERANCE = 0.002
"""By which a loss or a slope may differ, as a share of it.

On a CPU float32 moved them by 0.0000004, and products in bfloat16 by 0.0045. Between the two lies TF32, in
which attention on a GPU may multiply: it has three bits more than bfloat16, so an eighth of that is expected.
"""

_SHAPES: dict[str, tuple[int, ...]] = {
    "embed.weight": (VOCABULARY, WIDTH),
    "norm.weight": (WIDTH,),
    "norm.bias": (WIDTH,),
    "mix.weight": (3 * WIDTH, WIDTH),
    "mix.bias": (3 * WIDTH,),
    "out.weight": (VOCABULARY, WIDTH),
    "out.bias": (VOCABULARY,),
}
_EPSILON = 1e-5
_NUDGE = 1e-4
"""For the difference of two losses: its error is about the square of this."""


def weights() -> dict[str, Array]:
    """Name to values between -1 and 1."""
    return {name: _drawn(name, shape).astype(np.float64) / 128 for name, shape in _SHAPES.items()}


def directions() -> dict[str, Array]:
    """For each weight the way, up or down, in which the loss is looked at."""
    return {
        name: np.where(_drawn(f"direction of {name}", shape) < 0, -1.0, 1.0)
        for name, shape in _SHAPES.items()
    }


def tokens() -> list[list[int]]:
    """Rows of tokens, each to be told from those before it."""
    return [[int(token) for token in row] for row in _drawn("tokens", (ROWS, LENGTH)) % VOCABULARY]


def loss(values: dict[str, Array]) -> float:
    """How unlikely the tokens are, on average, for a network of these weights."""
    given = np.array(tokens())
    known, wanted = given[:, :-1], given[:, 1:]
    state = values["embed.weight"][known]
    mixed = state + _attended(_product("mix", values, _normed(state, values)))
    logits = _product("out", values, mixed / (1 + np.exp(-mixed)))
    chances = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return float(-np.take_along_axis(chances, wanted[..., None], -1).mean())


def slopes() -> dict[str, float]:
    """How the loss changes along the direction of each weight, by the difference of two losses."""
    start = weights()
    return {
        name: (loss(start | {name: start[name] + step}) - loss(start | {name: start[name] - step}))
        / (2 * _NUDGE)
        for name, step in ((name, _NUDGE * way) for name, way in directions().items())
    }


def question(device: str) -> dict[str, Any]:
    """What the probe is asked on this device."""
    return {
        "weights": {name: values.tolist() for name, values in weights().items()},
        "directions": {name: values.tolist() for name, values in directions().items()},
        "tokens": tokens(),
        "device": device,
        "steps": STEPS,
        "rate": RATE,
    }


def _drawn(name: str, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Numbers between -128 and 127 from a hash of the name."""
    size = int(np.prod(shape))
    return np.frombuffer(hashlib.shake_256(name.encode()).digest(size), np.int8).reshape(shape)


def _product(name: str, values: dict[str, Array], state: Array) -> Array:
    return np.asarray(state @ values[f"{name}.weight"].T + values[f"{name}.bias"])


def _normed(state: Array, values: dict[str, Array]) -> Array:
    centred = state - state.mean(-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(-1, keepdims=True) + _EPSILON)
    return np.asarray(centred / scale * values["norm.weight"] + values["norm.bias"])


def _attended(projected: Array) -> Array:
    """What each token takes from itself and from those before it."""
    query, key, value = np.split(projected, 3, -1)
    scores = query @ key.swapaxes(1, 2) / WIDTH**0.5
    scores = np.where(np.tri(scores.shape[-1], dtype=bool), scores, -np.inf)
    chances = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(chances @ value / chances.sum(-1, keepdims=True))
