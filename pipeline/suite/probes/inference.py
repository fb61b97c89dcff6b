"""Probe: what plain PyTorch generates, greedily, with nothing installed but torch.

Arguments: the folder of a Llama whose weights are float32 in one file, and JSON with ``batches`` (each a
list of prompts, as tokens, that are answered together), ``steps``, ``device``, ``dtype`` (the number type to
calculate in, such as ``bfloat16``), ``best`` and ``compiled``. Prints, by batch and prompt, the tokens that
follow and the ``best`` largest log-probabilities at each, the largest first; and the libraries and kernels
that a compiler made for it (none unless ``compiled``): every cache is empty at the start, whatever an image
contains.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

torch: Any = importlib.import_module("torch")
functional: Any = torch.nn.functional


def read_weights(file: Path, device: str, dtype: Any) -> dict[str, Any]:
    """The tensors of a safetensors file: the size of its header, the header as JSON, then their bytes."""
    raw = file.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(raw[8:start]).items():
        if name != "__metadata__":
            first, last = (start + offset for offset in entry["data_offsets"])
            flat = torch.frombuffer(bytearray(raw[first:last]), dtype={"F32": torch.float32}[entry["dtype"]])
            tensors[name] = flat.reshape(entry["shape"]).to(device, dtype)
    return tensors


class Llama:
    """The forward pass, written out: what is compared is PyTorch's arithmetic, not a library's code."""

    def __init__(self, folder: Path, device: str, dtype: Any) -> None:
        self._weights, self._dtype = read_weights(folder / "model.safetensors", device, dtype), dtype
        self._config = json.loads((folder / "config.json").read_text())

    def logits(self, tokens: Any, ends: Any) -> Any:
        """The logits of what follows the token at ``ends`` in each row of ``tokens``."""
        state = functional.embedding(tokens, self._weights["model.embed_tokens.weight"])
        turns = self._turns(tokens.shape[1], tokens.device)
        for layer in range(self._config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}"
            state = state + self._attend(prefix, self._norm(f"{prefix}.input_layernorm", state), turns)
            state = state + self._mlp(prefix, self._norm(f"{prefix}.post_attention_layernorm", state))
        rows = torch.arange(len(tokens), device=tokens.device)
        return self._project("lm_head", self._norm("model.norm", state[rows, ends]))

    def _project(self, name: str, state: Any) -> Any:
        return functional.linear(state, self._weights[f"{name}.weight"])

    def _norm(self, name: str, state: Any) -> Any:
        wide = state.float()  # as every norm is calculated, whatever the type of its input
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self._config["rms_norm_eps"])
        return (wide * scale).to(self._dtype) * self._weights[f"{name}.weight"]

    def _mlp(self, prefix: str, state: Any) -> Any:
        gate = functional.silu(self._project(f"{prefix}.mlp.gate_proj", state))
        return self._project(f"{prefix}.mlp.down_proj", gate * self._project(f"{prefix}.mlp.up_proj", state))

    def _attend(self, prefix: str, state: Any, turns: tuple[Any, Any]) -> Any:
        heads = (len(state), state.shape[1], self._config["num_attention_heads"], self._config["head_dim"])
        query, key, value = (
            self._project(f"{prefix}.self_attn.{part}_proj", state).view(heads).transpose(1, 2)
            for part in "qkv"
        )
        mixed = functional.scaled_dot_product_attention(
            rotated(query, turns), rotated(key, turns), value, is_causal=True
        )
        return self._project(f"{prefix}.self_attn.o_proj", mixed.transpose(1, 2).flatten(2))

    def _turns(self, length: int, device: Any) -> tuple[Any, Any]:
        """Cosine and sine of the angle by which each half of a head is turned at each position."""
        half = self._config["head_dim"] // 2
        steps = torch.arange(half, device=device) / half
        angles = torch.arange(length, device=device)[:, None] / self._config["rope_theta"] ** steps
        return angles.cos().to(self._dtype), angles.sin().to(self._dtype)


def rotated(state: Any, turns: tuple[Any, Any]) -> Any:
    """Rotary position embedding, the two halves of a head as the parts of one rotation."""
    (first, second), (cosine, sine) = state.chunk(2, -1), turns
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def answers(logits: Any, prompts: list[list[int]], steps: int, device: str, best: int) -> list[Any]:
    """The greedy answer to each prompt, all answered together, the shorter ones padded at their end."""
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    longest = int(lengths.max()) + steps
    tokens = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts], device=device)
    rows = torch.arange(len(prompts), device=device)
    likeliest = []
    for step in range(steps):
        top = logits(tokens, lengths + step - 1).float().log_softmax(-1).topk(best)
        tokens[rows, lengths + step] = top.indices[:, 0]
        likeliest.append(top.values)
    return [
        {"tokens": row[len(prompt) :][:steps], "logprobs": logprobs}
        for row, prompt, logprobs in zip(
            tokens.tolist(), prompts, torch.stack(likeliest, 1).tolist(), strict=True
        )
    ]


def use_as_cache(folder: str) -> None:
    """Make the compilers write all files to this folder."""
    os.environ |= {"TORCHINDUCTOR_CACHE_DIR": folder, "TRITON_CACHE_DIR": folder, "TMPDIR": folder}
    tempfile.tempdir = folder


def main() -> None:
    """Answer all batches, print the answers, and exit at once, skipping atexit handlers."""
    folder, question = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_float32_matmul_precision("highest")  # no TF32: its tokens may differ from the golden ones
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache, torch.inference_mode():
        use_as_cache(cache)
        llama = Llama(folder, question["device"], getattr(torch, question["dtype"]))
        logits = torch.compile(llama.logits, fullgraph=True) if question["compiled"] else llama.logits
        batches = [
            answers(logits, batch, question["steps"], question["device"], question["best"])
            for batch in question["batches"]
        ]
        made = sorted(file.name for file in Path(cache).rglob("*") if file.suffix in {".so", ".cubin"})
    sys.stdout.write(f"\nprobe-result: {json.dumps({'answers': batches, 'compiled': made})}\n")
    sys.stdout.flush()
    os._exit(0)


main()
