"""A model of the size that is served in production, without its weights: a server makes them up itself.

Its answers mean nothing; how long a server takes to start, how fast it computes and how much memory it takes
are those of a model with these dimensions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.suite import tiny_model

if TYPE_CHECKING:
    from pathlib import Path

SERVE = ("--load-format", "dummy")
"""What a server of such a model is told: weights are drawn, none are read."""

_NO_TENSORS = (2).to_bytes(8, "little") + b"{}"
"""A file of weights with none in it: a folder without such a file is taken for no model."""


@dataclass(frozen=True)
class Dimensions:
    """The dimensions of a Llama; ``name`` says whose they are."""

    name: str
    layers: int
    hidden: int
    heads: int
    key_heads: int
    inner: int
    vocabulary: int


LLAMA_8B = Dimensions("Llama 3 8B", 32, 4096, 32, 8, 14336, 128256)
"""https://arxiv.org/abs/2407.21783, table 3"""
SMALL = Dimensions("a Llama of 2 layers", 2, 256, 4, 4, 512, 512)
"""For a machine that is to rehearse what a GPU would do."""


def write(folder: Path, dimensions: Dimensions) -> None:
    """Write such a model's configuration and tokenizer into ``folder``; any user may read them."""
    shipped = tiny_model.contents()
    config = json.loads(shipped["config.json"]) | {
        "num_hidden_layers": dimensions.layers,
        "hidden_size": dimensions.hidden,
        "num_attention_heads": dimensions.heads,
        "num_key_value_heads": dimensions.key_heads,
        "head_dim": dimensions.hidden // dimensions.heads,
        "intermediate_size": dimensions.inner,
        "vocab_size": dimensions.vocabulary,
        "max_position_embeddings": 8192,
        "torch_dtype": "bfloat16",
    }
    written = shipped | {"config.json": json.dumps(config).encode(), "model.safetensors": _NO_TENSORS}
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in written.items():
        (folder / name).write_bytes(body)
        (folder / name).chmod(0o644)
    folder.chmod(0o755)
