"""A BLIP-2 that sees pictures of 28 by 28 points, and whose language model is the tiny one.

What it sees comes from a hash, as its pictures do, so an answer says nothing that a person would; but two
pictures are answered differently, and a question without a picture as by the tiny model. Of the models for
pictures that vLLM has this is one that needs no torchvision, which CPU images do without.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from pipeline.suite import tiny_model
from pipeline.suite.tiny_model import HIDDEN, VOCABULARY, tensor

if TYPE_CHECKING:
    from pipeline.suite.tiny_model import Array

IMAGE = 259
"""The token that stands in a prompt for what is seen."""
SEEN = 4
"""How many of them stand for one picture."""
SIDE, PATCH, CHANNELS = 28, 14, 3
"""Points of a picture's side and of a patch's, and the numbers of each."""
PICTURES = ("14", "74")
"""Their names, of which the points are a hash (``probes/modes.py``), and all tokens of the answers clear."""
_WIDTH, _INNER = 64, 128
_PATCHES = (SIDE // PATCH) ** 2
_QUERY = "qformer.encoder.layer.0"
_SIGHT = "vision_model.encoder.layers.0"


def contents() -> dict[str, bytes]:
    """File name to bytes of the model."""
    shipped = tiny_model.contents()
    tokenizer = json.loads(shipped["tokenizer.json"])
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][-1] | {"id": IMAGE, "content": "<image>"})
    text = json.loads(shipped["config.json"])
    return shipped | {
        "config.json": _json(_config(text)),
        "tokenizer.json": _json(tokenizer),
        "preprocessor_config.json": _json(_PREPROCESSOR),
        "processor_config.json": _json({"processor_class": "Blip2Processor", "num_query_tokens": SEEN}),
        "model.safetensors": save(weights(), metadata={"format": "pt"}),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


_PREPROCESSOR = {
    "image_processor_type": "BlipImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"height": SIDE, "width": SIDE},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * CHANNELS,
    "image_std": [0.5] * CHANNELS,
}


def _config(text: dict[str, Any]) -> dict[str, Any]:
    layers = {"hidden_size": _WIDTH, "intermediate_size": _INNER}
    layers |= {"num_hidden_layers": 1, "num_attention_heads": 1}
    return {
        "architectures": ["Blip2ForConditionalGeneration"],
        "model_type": "blip-2",
        "image_token_index": IMAGE,
        "num_query_tokens": SEEN,
        "use_decoder_only_language_model": True,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "text_config": text,
        "vision_config": layers
        | {"model_type": "blip_2_vision_model", "image_size": SIDE, "patch_size": PATCH, "qkv_bias": True},
        "qformer_config": layers
        | {
            "model_type": "blip_2_qformer",
            "vocab_size": VOCABULARY,
            "cross_attention_frequency": 1,
            "encoder_hidden_size": _WIDTH,
            "use_qformer_text_input": False,
        },
    }


def weights() -> dict[str, Array]:
    """Tensor name to float32 values: norms are ones, biases zero, all others from a hash."""
    made = {f"language_model.{name}": values for name, values in tiny_model.weights().items()}
    for name, shape in _SHAPES.items():
        made[f"{name}.weight"] = _map(f"{name}.weight", shape)
        made[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    for name in _NORMS:
        made[f"{name}.weight"] = np.ones(_WIDTH, np.float32)
        made[f"{name}.bias"] = np.zeros(_WIDTH, np.float32)
    for name, shape in _BARE.items():
        made[name] = tensor(name, (1, math.prod(shape)), 1.0).reshape(shape)
    return made


def _map(name: str, shape: tuple[int, ...]) -> Array:
    """Values by which what comes out is spread as widely as what goes in."""
    rows, columns = shape[0], math.prod(shape[1:])
    return tensor(name, (rows, columns), columns**-0.5).reshape(shape)


_SHAPES: dict[str, tuple[int, ...]] = {
    "vision_model.embeddings.patch_embedding": (_WIDTH, CHANNELS, PATCH, PATCH),
    f"{_SIGHT}.self_attn.qkv": (3 * _WIDTH, _WIDTH),
    f"{_SIGHT}.self_attn.projection": (_WIDTH, _WIDTH),
    f"{_SIGHT}.mlp.fc1": (_INNER, _WIDTH),
    f"{_SIGHT}.mlp.fc2": (_WIDTH, _INNER),
    **{
        f"{_QUERY}.{kind}.attention.{name}": (_WIDTH, _WIDTH)
        for kind in ("attention", "crossattention")
        for name in ("query", "key", "value")
    },
    f"{_QUERY}.attention.output.dense": (_WIDTH, _WIDTH),
    f"{_QUERY}.crossattention.output.dense": (_WIDTH, _WIDTH),
    f"{_QUERY}.intermediate_query.dense": (_INNER, _WIDTH),
    f"{_QUERY}.output_query.dense": (_WIDTH, _INNER),
    "language_projection": (HIDDEN, _WIDTH),
}
"""Of each linear map its name and shape; it has a bias, too."""
_NORMS = (
    f"{_SIGHT}.layer_norm1",
    f"{_SIGHT}.layer_norm2",
    "vision_model.post_layernorm",
    "qformer.layernorm",
    f"{_QUERY}.attention.output.LayerNorm",
    f"{_QUERY}.crossattention.output.LayerNorm",
    f"{_QUERY}.output_query.LayerNorm",
)
_BARE: dict[str, tuple[int, ...]] = {
    "query_tokens": (1, SEEN, _WIDTH),
    "vision_model.embeddings.class_embedding": (1, 1, _WIDTH),
    "vision_model.embeddings.position_embedding": (1, _PATCHES + 1, _WIDTH),
}
