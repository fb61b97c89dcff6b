"""A tiny Llama and its tokenizer, the same bytes wherever they are written.

Its body comes from SHAKE-256 of a seed and each tensor's name, so no random number library's stream
matters. The output rows are data, ``tiny_head.json``: ``fitting.py`` fitted them, so that the model's
golden answers are clear ones. Every weight is a whole number of at most seven bits times a power of two,
which float32, bfloat16 and float16 all hold exactly: in each of them a server has the very same model.

The tokenizer has one token for each byte. Only printable ASCII can be generated: the output rows of all
other tokens are zero, so an end of text never comes early, and the text of an answer says exactly which
tokens it was made of.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from pipeline.suite.models import folders

SEED = "tiny-llama-2"
HEAD = Path(__file__).with_name("tiny_head.json")
LAYERS, HIDDEN, HEADS, HEAD_SIZE, INNER = 2, 128, 2, 64, 256
BEGIN, END, PAD = 256, 257, 258
VOCABULARY = 320
"""Bytes, the three special tokens, and padding to a multiple of 64."""
CONTEXT = 131_072
"""Longer than a server is told to serve: what an image's arguments ask for is not refused for this model."""
ROPE_BASE, EPSILON = 10000.0, 1e-5
PRINTABLE = range(32, 127)
TOP = 127
"""The largest whole number in a weight: seven bits and a sign."""

SPECIAL = {BEGIN: "<|begin|>", END: "<|end|>", PAD: "<|pad|>"}
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

Array = NDArray[np.float32]


def write(folder: Path) -> str:
    """Write the model into ``folder`` unless it is there already; return its digest."""
    return folders.write(folder, contents())


def contents_digest() -> str:
    """What ``digest_of`` says of the folder that ``write`` makes."""
    return folders.digest_of_contents(contents())


def contents() -> dict[str, bytes]:
    """File name to bytes of the whole model."""
    return {
        "config.json": _json(_config()),
        "generation_config.json": _json({"bos_token_id": BEGIN, "eos_token_id": END, "pad_token_id": PAD}),
        "tokenizer.json": _json(_tokenizer()),
        "tokenizer_config.json": _json(_tokenizer_config()),
        "model.safetensors": save(weights(), metadata={"format": "pt"}),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _config() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "pad_token_id": PAD,
        "head_dim": HEAD_SIZE,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "max_position_embeddings": CONTEXT,
        "mlp_bias": False,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": HEADS,
        "rms_norm_eps": EPSILON,
        "rope_theta": ROPE_BASE,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "vocab_size": VOCABULARY,
    }


def _tokenizer() -> dict[str, Any]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token, "content": text, **plain} for token, text in SPECIAL.items()],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {character: byte for byte, character in enumerate(_byte_characters())},
            "merges": [],
        },
    }


def _byte_characters() -> list[str]:
    """The character by which a byte-level tokenizer writes each byte: itself if it is printable."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(hidden)) for byte in range(256)]


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[BEGIN],
        "eos_token": SPECIAL[END],
        "pad_token": SPECIAL[PAD],
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
    }


def weights() -> dict[str, Array]:
    """Tensor name to float32 values."""
    return body() | {"lm_head.weight": _head()}


def body() -> dict[str, Array]:
    """All tensors but the output rows."""
    tensors = {
        "model.embed_tokens.weight": tensor("model.embed_tokens.weight", (VOCABULARY, HIDDEN), 1.0),
        "model.norm.weight": np.ones(HIDDEN, np.float32),
    }
    for layer in range(LAYERS):
        tensors |= _layer(f"model.layers.{layer}")
    return tensors


def _layer(prefix: str) -> dict[str, Array]:
    width = HEADS * HEAD_SIZE
    shapes = {
        "self_attn.q_proj.weight": (width, HIDDEN, 1.5),
        "self_attn.k_proj.weight": (width, HIDDEN, 1.5),
        "self_attn.v_proj.weight": (width, HIDDEN, 1.5),
        "self_attn.o_proj.weight": (HIDDEN, width, 1.5),
        "mlp.gate_proj.weight": (INNER, HIDDEN, 1.0),
        "mlp.up_proj.weight": (INNER, HIDDEN, 1.0),
        "mlp.down_proj.weight": (HIDDEN, INNER, 1.0),
    }
    made = {
        f"{prefix}.{name}": tensor(f"{prefix}.{name}", (rows, columns), gain / columns**0.5)
        for name, (rows, columns, gain) in shapes.items()
    }
    norms = ("input_layernorm", "post_attention_layernorm")
    return made | {f"{prefix}.{norm}.weight": np.ones(HIDDEN, np.float32) for norm in norms}


def _head() -> Array:
    """The output rows: those of ``tiny_head.json`` for printable bytes, zero for all other tokens."""
    raw = json.loads(HEAD.read_text())
    rows = b"".join(map(base64.b64decode, raw["rows"]))
    head = np.zeros((VOCABULARY, HIDDEN), np.float32)
    head[list(PRINTABLE)] = np.frombuffer(rows, np.int8).reshape(len(PRINTABLE), HIDDEN) * raw["step"]
    return head


def text_of_head(rows: Any) -> str:
    """The content of ``tiny_head.json`` for these output rows, one for each printable byte."""
    step = step_for(float(np.abs(rows).max()))
    whole = np.rint(rows / step).astype(np.int8)
    lines = ",\n".join(f'    "{base64.b64encode(row.tobytes()).decode()}"' for row in whole)
    return f'{{\n  "step": {step},\n  "rows": [\n{lines}\n  ]\n}}\n'


def tensor(name: str, shape: tuple[int, int], deviation: float) -> Array:
    """Values spread evenly around zero with about this standard deviation."""
    count, reach = shape[0] * shape[1], 3**0.5 * deviation
    stream = hashlib.shake_256(f"{SEED}\0{name}".encode()).digest(4 * count)
    step = step_for(reach)
    top = int(reach / step)
    whole = (np.frombuffer(stream, "<u4").astype(np.int64) * (2 * top + 1) >> 32) - top
    return (whole * step).astype(np.float32).reshape(shape)


def step_for(reach: float) -> float:
    """The smallest power of two of which ``TOP`` times reach as far as this."""
    return 2.0 ** math.frexp(reach / TOP)[1]
