"""Probe: a small network in plain PyTorch is trained and saved; or it is loaded and answers.

Argument: JSON with ``weights`` (lists of numbers by name), ``tokens`` (rows; each token is to be told from
those before it), ``device``, ``rate``, and either ``directions`` (as ``weights``) and ``steps``, or the
``checkpoint`` of another process, in base64. Prints the SHA-256 of its ``answers`` and of its ``state``, that
of the optimizer included; where it was trained also the ``losses``, before each step and at the end, the
first gradient of each weight along its direction as ``slopes``, and the ``checkpoint``.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

torch: Any = importlib.import_module("torch")
functional: Any = torch.nn.functional


class Network(torch.nn.Module):  # type: ignore[misc]
    """One of each: an embedding, a norm, attention, an activation, products of matrices."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(vocabulary, width)
        self.norm = torch.nn.LayerNorm(width)
        self.mix = torch.nn.Linear(width, 3 * width)
        self.out = torch.nn.Linear(width, vocabulary)

    def forward(self, tokens: Any) -> Any:
        """The logits of what follows each token."""
        state = self.embed(tokens)
        query, key, value = (part.unsqueeze(1) for part in self.mix(self.norm(state)).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(functional.silu(state + mixed.squeeze(1)))

    def loss(self, tokens: Any) -> Any:
        """How unlikely the tokens are, on average."""
        return functional.cross_entropy(self(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def train(network: Network, optimizer: Any, tokens: Any, question: Any) -> Any:
    """Take the steps; the losses, and the slopes at the first of them."""
    losses, slopes = [], {}
    for step in range(question["steps"]):
        optimizer.zero_grad()
        loss = network.loss(tokens)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            slopes = {
                name: (weight.grad.cpu().double() * torch.tensor(question["directions"][name])).sum().item()
                for name, weight in network.named_parameters()
            }
        optimizer.step()
    return {"losses": [*losses, network.loss(tokens).item()], "slopes": slopes}


def saved(network: Network, optimizer: Any) -> str:
    """The checkpoint that PyTorch writes to a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.pt"
        torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, file)
        return base64.b64encode(file.read_bytes()).decode()


def load(network: Network, optimizer: Any, checkpoint: str, device: str) -> None:
    """Continue from a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.pt"
        file.write_bytes(base64.b64decode(checkpoint))
        read = torch.load(file, map_location=device, weights_only=True)
    network.load_state_dict(read["network"])
    optimizer.load_state_dict(read["optimizer"])


def digest(*tensors: Any) -> str:
    """The SHA-256 of all bytes, without numpy, which may not be there."""
    flat = (tensor.detach().cpu().contiguous().flatten().view(torch.uint8).tolist() for tensor in tensors)
    return hashlib.sha256(b"".join(map(bytes, flat))).hexdigest()


def state(network: Network, optimizer: Any) -> str:
    """The digest of all weights, and of what the optimizer knows of each."""
    known = optimizer.state_dict()["state"].items()
    moments = [value.float() for _, values in sorted(known) for _, value in sorted(values.items())]
    return digest(*network.state_dict().values(), *moments)


def main() -> None:
    """Do what the question asks, print the answer, and exit at once, skipping atexit handlers."""
    question = json.loads(sys.argv[1])
    device, checkpoint = question["device"], question.get("checkpoint")
    torch.set_float32_matmul_precision("highest")  # no TF32: its gradients are other ones
    weights = {name: torch.tensor(values) for name, values in question["weights"].items()}
    network = Network(*weights["embed.weight"].shape)
    network.load_state_dict(weights)
    network.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=question["rate"])
    tokens = torch.tensor(question["tokens"], device=device)
    answer: dict[str, Any] = {}
    if checkpoint:
        load(network, optimizer, checkpoint, device)
    else:
        answer = train(network, optimizer, tokens, question) | {"checkpoint": saved(network, optimizer)}
    with torch.inference_mode():
        answer["answers"] = digest(network(tokens))
    answer["state"] = state(network, optimizer)
    sys.stdout.write(f"\nprobe-result: {json.dumps(answer)}\n")
    sys.stdout.flush()
    os._exit(0)


main()
