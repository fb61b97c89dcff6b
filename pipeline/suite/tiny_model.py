"""A tiny Llama and its tokenizer, the same bytes wherever they are written.

Every weight comes from SHAKE-256 of a seed and the tensor's name, so no random number library's
stream matters. The tokenizer has one token for each byte. Only printable ASCII can be generated:
the output rows of all other tokens are zero, so an end of text never comes early, and the text of
an answer says exactly which tokens it was made of.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from pipeline.suite.model import digest_of, digest_of_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = "tiny-llama-1"
LAYERS, HIDDEN, HEADS, HEAD_SIZE, INNER = 2, 128, 2, 64, 256
BEGIN, END, PAD = 256, 257, 258
VOCABULARY = 320
"""Bytes, the three special tokens, and padding to a multiple of 64."""
CONTEXT = 1024
ROPE_BASE, EPSILON = 10000.0, 1e-5
PRINTABLE = range(32, 127)

SPECIAL = {BEGIN: "<|begin|>", END: "<|end|>", PAD: "<|pad|>"}
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

Array = NDArray[np.float32]


def write(folder: Path) -> str:
    """Write the model into ``folder``, in one step, unless it is there already; return its digest.

    Every file can be read by any user. A folder of the same name with other content is replaced.
    If several write at once, the first one does, and the others wait for it.
    """
    digest = contents_digest()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder.parent):
        if not folder.is_dir() or digest_of(folder) != digest:
            _replace(folder)
    return digest


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a lock among processes and threads for the same folder. It is released when its holder ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(folder: Path) -> None:
    """Written to a temporary folder first: an interruption leaves no partial model at ``folder``."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        fresh = Path(temporary) / "fresh"
        fresh.mkdir(mode=0o755)
        for name, body in contents().items():
            (fresh / name).write_bytes(body)
            (fresh / name).chmod(0o644)
        fresh.chmod(0o755)
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        fresh.rename(folder)


def contents_digest() -> str:
    """What ``digest_of`` says of the folder that ``write`` makes."""
    return digest_of_hashes({name: hashlib.sha256(body).hexdigest() for name, body in contents().items()})


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
    tensors = {
        "model.embed_tokens.weight": _tensor("model.embed_tokens.weight", (VOCABULARY, HIDDEN), 1.0),
        "model.norm.weight": np.ones(HIDDEN, np.float32),
        "lm_head.weight": _head(),
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
        f"{prefix}.{name}": _tensor(f"{prefix}.{name}", (rows, columns), gain / columns**0.5)
        for name, (rows, columns, gain) in shapes.items()
    }
    norms = ("input_layernorm", "post_attention_layernorm")
    return made | {f"{prefix}.{norm}.weight": np.ones(HIDDEN, np.float32) for norm in norms}


def _head() -> Array:
    """The output rows, so large that logits spread by about 4, and zero but for printable bytes."""
    head = _tensor("lm_head.weight", (VOCABULARY, HIDDEN), 4 / HIDDEN**0.5)
    head[[token for token in range(VOCABULARY) if token not in PRINTABLE]] = 0
    return head


def _tensor(name: str, shape: tuple[int, int], deviation: float) -> Array:
    """Values spread evenly around zero with this standard deviation."""
    count = shape[0] * shape[1]
    stream = hashlib.shake_256(f"{SEED}\0{name}".encode()).digest(4 * count)
    evenly = np.frombuffer(stream, "<u4").astype(np.float64) / 2**31 - 1
    return (evenly * 3**0.5 * deviation).astype(np.float32).reshape(shape)


class Forward:
    """The model in numpy, float64: an answer to compare with that owes nothing to torch."""

    def __init__(self) -> None:
        self._weights = {name: value.astype(np.float64) for name, value in weights().items()}

    def generate(self, prompt: list[int], steps: int) -> tuple[list[int], float]:
        """The greedy tokens after ``prompt``, and the smallest margin by which the best logit won."""
        caches: list[tuple[Any, Any]] = [(None, None)] * LAYERS
        logits = self._advance(prompt, 0, caches)
        tokens: list[int] = []
        margin = float("inf")
        for _ in range(steps):
            second, best = np.sort(logits)[-2:]
            margin = min(margin, float(best - second))
            tokens.append(int(np.argmax(logits)))
            logits = self._advance(tokens[-1:], len(prompt) + len(tokens) - 1, caches)
        return tokens, margin

    def _advance(self, tokens: list[int], start: int, caches: list[tuple[Any, Any]]) -> Any:
        positions = np.arange(start, start + len(tokens))
        state = self._weights["model.embed_tokens.weight"][tokens]
        for layer in range(LAYERS):
            prefix = f"model.layers.{layer}"
            mixed, caches[layer] = self._attend(
                prefix, self._norm(f"{prefix}.input_layernorm", state), positions, caches[layer]
            )
            state = state + mixed
            state = state + self._mlp(prefix, self._norm(f"{prefix}.post_attention_layernorm", state))
        return self._weights["lm_head.weight"] @ self._norm("model.norm", state[-1])

    def _norm(self, name: str, state: Any) -> Any:
        scale = np.sqrt((state**2).mean(-1, keepdims=True) + EPSILON)
        return state / scale * self._weights[f"{name}.weight"]

    def _mlp(self, prefix: str, state: Any) -> Any:
        gate = state @ self._weights[f"{prefix}.mlp.gate_proj.weight"].T
        raised = gate / (1 + np.exp(-gate)) * (state @ self._weights[f"{prefix}.mlp.up_proj.weight"].T)
        return raised @ self._weights[f"{prefix}.mlp.down_proj.weight"].T

    def _attend(self, prefix: str, state: Any, positions: Any, cache: tuple[Any, Any]) -> Any:
        def heads(name: str) -> Any:
            projected = state @ self._weights[f"{prefix}.self_attn.{name}_proj.weight"].T
            return projected.reshape(len(state), HEADS, HEAD_SIZE).transpose(1, 0, 2)

        query, key, value = _rotate(heads("q"), positions), _rotate(heads("k"), positions), heads("v")
        if cache[0] is not None:
            key, value = np.concatenate([cache[0], key], 1), np.concatenate([cache[1], value], 1)
        scores = query @ key.transpose(0, 2, 1) / HEAD_SIZE**0.5
        scores[:, np.arange(key.shape[1])[None, :] > positions[:, None]] = -np.inf
        chance = np.exp(scores - scores.max(-1, keepdims=True))
        chance /= chance.sum(-1, keepdims=True)
        joined = (chance @ value).transpose(1, 0, 2).reshape(len(state), HEADS * HEAD_SIZE)
        return joined @ self._weights[f"{prefix}.self_attn.o_proj.weight"].T, (key, value)


def _rotate(state: Any, positions: Any) -> Any:
    """Rotary position embedding, the two halves of a head as the parts of one rotation."""
    half = HEAD_SIZE // 2
    angles = positions[:, None] / ROPE_BASE ** (np.arange(half) / half)
    cosine, sine = np.cos(angles), np.sin(angles)
    first, second = state[..., :half], state[..., half:]
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)
