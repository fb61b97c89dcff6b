"""A LoRA adapter for the tiny model, from a hash, in the format of PEFT.

It changes so much that every answer is another one, and what it changes is known: ``weights`` are those of
the tiny model with the adapter added.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors.numpy import save

from pipeline.suite import tiny_model
from pipeline.suite.tiny_model import tensor

if TYPE_CHECKING:
    from pipeline.suite.tiny_model import Array

RANK = 8
SCALE = 2.0
"""What PEFT calls ``lora_alpha / r``: by so much the product of both parts is multiplied."""
_GAIN = 0.5
TARGETS = ("q_proj", "v_proj", "down_proj")


def contents() -> dict[str, bytes]:
    """File name to bytes of the adapter."""
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny",
        "r": RANK,
        "lora_alpha": SCALE * RANK,
        "target_modules": list(TARGETS),
        "bias": "none",
    }
    tensors = {
        f"base_model.model.{name}.lora_{part}.weight": values
        for name, parts in _parts().items()
        for part, values in zip("AB", parts, strict=True)
    }
    return {
        "adapter_config.json": (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
        "adapter_model.safetensors": save(tensors, metadata={"format": "pt"}),
    }


def weights() -> dict[str, Array]:
    """Those of the tiny model with the adapter."""
    adapted = tiny_model.weights()
    for name, (down, up) in _parts().items():
        adapted[f"{name}.weight"] = adapted[f"{name}.weight"] + SCALE * (up @ down)
    return adapted


def _parts() -> dict[str, tuple[Array, Array]]:
    """Of each projection that is changed, the matrix down to the rank and the one up from it."""
    changed = {
        name.removesuffix(".weight"): values.shape
        for name, values in tiny_model.weights().items()
        if name.removesuffix(".weight").endswith(TARGETS)
    }
    return {
        name: (
            tensor(f"{name}.lora_A", (RANK, columns), columns**-0.5),
            tensor(f"{name}.lora_B", (rows, RANK), _GAIN * RANK**-0.5),
        )
        for name, (rows, columns) in changed.items()
    }
