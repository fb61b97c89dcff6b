"""The tiny model's forward pass in numpy: an answer to compare with that owes nothing to torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.suite import tiny_model
from pipeline.suite.tiny_model import EPSILON, HEAD_SIZE, HEADS, LAYERS, ROPE_BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def exact(values: Any) -> Any:
    """The values themselves, in float64."""
    return np.asarray(values, np.float64)


def bfloat16(values: Any) -> Any:
    """The values as bfloat16 holds them: the upper 16 bits of float32, rounded to nearest, ties to even."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    upper = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return upper.view(np.float32)


def float16(values: Any) -> Any:
    """The values as float16 holds them."""
    return np.asarray(values, np.float16).astype(np.float32)


class Forward:
    """The tiny model. ``rounded`` is applied where kernels of a number type write their results to memory.

    Inside of a kernel (a product of matrices, a norm, attention) numbers are wider, on CPUs and GPUs alike.
    """

    def __init__(
        self, weights: Mapping[str, Any] | None = None, rounded: Callable[[Any], Any] = exact
    ) -> None:
        self._rounded = rounded
        self._weights = {name: rounded(value) for name, value in (weights or tiny_model.weights()).items()}

    def generate(self, prompt: list[int], steps: int) -> tuple[list[int], float]:
        """The greedy tokens after ``prompt``, and the smallest margin by which the best logit won."""
        caches: list[tuple[Any, Any]] = [(None, None)] * LAYERS
        logits = self._logits(self._advance(prompt, 0, caches)[-1])
        tokens: list[int] = []
        margin = float("inf")
        for _ in range(steps):
            second, best = np.sort(logits)[-2:]
            margin = min(margin, float(best - second))
            tokens.append(int(np.argmax(logits)))
            logits = self._logits(self._advance(tokens[-1:], len(prompt) + len(tokens) - 1, caches)[-1])
        return tokens, margin

    def logits(self, prompt: list[int], answer: list[int]) -> Any:
        """The logits from which each token of an answer is chosen, one row for each."""
        return self._logits(self.states(prompt, answer))

    def logprobs(self, prompt: list[int], answer: list[int], best: int) -> list[list[float]]:
        """The largest log-probabilities at each token of an answer, the largest first."""
        logits = self.logits(prompt, answer).astype(np.float64)
        logprobs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return [[float(value) for value in row] for row in np.sort(logprobs, 1)[:, : -best - 1 : -1]]

    def states(self, prompt: list[int], answer: list[int]) -> Any:
        """What the output rows are multiplied with for each token of an answer, one row for each."""
        return self._advance([*prompt, *answer[:-1]], 0, [(None, None)] * LAYERS)[len(prompt) - 1 :]

    def _advance(self, tokens: list[int], start: int, caches: list[tuple[Any, Any]]) -> Any:
        positions = np.arange(start, start + len(tokens))
        state = self._weights["model.embed_tokens.weight"][tokens]
        for layer in range(LAYERS):
            prefix = f"model.layers.{layer}"
            mixed, caches[layer] = self._attend(
                prefix, self._norm(f"{prefix}.input_layernorm", state), positions, caches[layer]
            )
            state = self._rounded(state + mixed)
            state = self._rounded(state + self._mlp(prefix, state))
        return self._norm("model.norm", state)

    def _logits(self, state: Any) -> Any:
        return self._project("lm_head", state)

    def _project(self, name: str, state: Any) -> Any:
        return self._rounded(state @ self._weights[f"{name}.weight"].T)

    def _norm(self, name: str, state: Any) -> Any:
        scale = np.sqrt((state.astype(np.float64) ** 2).mean(-1, keepdims=True) + EPSILON)
        return self._rounded(state / scale * self._weights[f"{name}.weight"])

    def _mlp(self, prefix: str, state: Any) -> Any:
        state = self._norm(f"{prefix}.post_attention_layernorm", state)
        gate = self._project(f"{prefix}.mlp.gate_proj", state)
        opened = self._rounded(gate / (1 + np.exp(-gate)))
        raised = self._rounded(opened * self._project(f"{prefix}.mlp.up_proj", state))
        return self._project(f"{prefix}.mlp.down_proj", raised)

    def _attend(self, prefix: str, state: Any, positions: Any, cache: tuple[Any, Any]) -> Any:
        def heads(name: str) -> Any:
            projected = self._project(f"{prefix}.self_attn.{name}_proj", state)
            return projected.reshape(len(state), HEADS, HEAD_SIZE).transpose(1, 0, 2)

        query, key, value = (
            self._turned(heads("q"), positions),
            self._turned(heads("k"), positions),
            heads("v"),
        )
        if cache[0] is not None:
            key, value = np.concatenate([cache[0], key], 1), np.concatenate([cache[1], value], 1)
        scores = query @ key.transpose(0, 2, 1) / HEAD_SIZE**0.5
        scores[:, np.arange(key.shape[1])[None, :] > positions[:, None]] = -np.inf
        chance = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = self._rounded(self._rounded(chance) @ value / chance.sum(-1, keepdims=True))
        joined = mixed.transpose(1, 0, 2).reshape(len(state), HEADS * HEAD_SIZE)
        return self._project(f"{prefix}.self_attn.o_proj", joined), (key, value)

    def _turned(self, state: Any, positions: Any) -> Any:
        """Rotary position embedding, the two halves of a head as the parts of one rotation."""
        half = HEAD_SIZE // 2
        angles = positions[:, None] / ROPE_BASE ** (np.arange(half) / half)
        cosine, sine = self._rounded(np.cos(angles)), self._rounded(np.sin(angles))
        first, second = state[..., :half], state[..., half:]
        return self._rounded(
            np.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)
        )
