"""The number types in which a cell is proven, and how far arithmetic in each leads from exact values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline.adapters import gpu
from pipeline.suite.expect import expect_that

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.model import Cell

Dtype = Literal["float32", "bfloat16", "float16"]

EXACT: Dtype = "float32"
"""The type of the check ``exact``, and of the reference that every answer is compared with."""

TOLERANCE: dict[Dtype, float] = {"float32": 0.1, "float16": 0.1, "bfloat16": 0.5}
"""By how much each of the largest log-probabilities may differ from those of Transformers in float32.

Of the tiny model, rounding every result moves them by at most 0.03 in float16 and 0.23 in bfloat16 (a unit
test). In float32 vLLM's attention on a GPU multiplies in TF32, whose ten bits are those of float16: 0.027 on
an H100, where bfloat16 was 0.20 with vLLM and 0.26 with PyTorch alone.
"""

BEST = 5
"""How many of the largest log-probabilities are compared at each token."""

_WITH_BFLOAT16 = (8, 0)
"""The first compute capability with bfloat16 (CUDA programming guide, "Compute Capabilities")."""


def served(cell: Cell) -> Dtype:
    """What production serves this cell in here: bfloat16, or float16 where a GPU of this machine has none."""
    old = cell.needs_gpu and any(device.capability < _WITH_BFLOAT16 for device in gpu.gpus())
    return "float16" if old else "bfloat16"


def clear(dtype: Dtype) -> float:
    """The margin between two log-probabilities from which on this type cannot choose the other one."""
    return 2 * TOLERANCE[dtype]


def expect_logprobs(
    what: str, wanted: Sequence[Sequence[float]], seen: Sequence[Sequence[float]], dtype: Dtype
) -> float:
    """The largest log-probabilities at each token are those that are wanted, within the type's tolerance.

    Returns the largest deviation. They are compared by rank: which token comes third may be a near tie, but
    how likely the third is, is not.
    """
    worst = 0.0
    for index, (best, others) in enumerate(zip(wanted, seen, strict=True)):
        deviation = max(abs(one - other) for one, other in zip(best, others, strict=True))
        expect_that(
            f"{what}: log-probabilities {_shown(best)} within {TOLERANCE[dtype]} at token {index + 1}",
            deviation <= TOLERANCE[dtype],
            _shown(others),
        )
        worst = max(worst, deviation)
    return worst


def _shown(best: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in best)
