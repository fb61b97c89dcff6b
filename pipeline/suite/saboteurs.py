"""Environments that are broken on purpose, as an image that looks healthy can be: all must be refused.

A saboteur is what an environment is started with: variables, arguments of its server, or Python code that
runs before any other. No file of the environment is touched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.model import Cell, CheckName


@dataclass(frozen=True)
class Saboteur:
    """One way to be broken, and the check that must notice.

    ``code`` is Python that the environment's interpreter runs at its start; only an environment on this
    machine can be given it. ``outcomes`` are what may become of the check.
    """

    name: str
    says: str
    caught_by: CheckName
    outcomes: tuple[Outcome, ...] = (Outcome.FAILED,)
    env: Mapping[str, str] = field(default_factory=dict)
    serve: tuple[str, ...] = ()
    code: str = ""


_BLIND_TO_ORDER = """
import torch.nn.functional as functional
attend = functional.scaled_dot_product_attention
def attend_to_all(*args, is_causal=False, **more):
    return attend(*args, **more)
functional.scaled_dot_product_attention = attend_to_all
"""
_BUILT_FOR_VOLTA = """
import torch
torch.cuda.get_arch_list = lambda: ["sm_70"]
"""

_OF_GPUS: tuple[Saboteur, ...] = (
    Saboteur(
        "hidden_gpu",
        "no GPU is given to it (CUDA_VISIBLE_DEVICES is empty)",
        "cuda",
        (Outcome.FAILED, Outcome.INCONCLUSIVE),  # the image's fault, or of an environment the host's
        env={"CUDA_VISIBLE_DEVICES": ""},
    ),
)
_OF_SERVERS_ON_GPUS = (
    Saboteur(
        "another_share",
        "its server takes another share of the GPU's memory than it was told",
        "device",
        serve=("--gpu-memory-utilization", "0.3"),
    ),
)
_OF_PYTORCH_ON_GPUS = (
    Saboteur(
        "no_code_for_gpu", "its build of PyTorch has code for sm_70 alone", "cuda", code=_BUILT_FOR_VOLTA
    ),
)
_OF_PYTORCH = (
    Saboteur(
        "no_causal_mask",
        "its attention looks at what comes after a token too",
        "correct",
        code=_BLIND_TO_ORDER,
    ),
)
_OF_SERVERS = (
    Saboteur(
        "other_positions",
        "its server is healthy and fluent, but turns positions by another base than the model was made with",
        "correct",
        serve=(
            "--hf-overrides",
            '{"rope_theta": 100.0, "rope_parameters": {"rope_type": "default", "rope_theta": 100.0}}',
        ),
    ),
)


def saboteurs_of(cell: Cell, *, takes_code: bool) -> Iterator[Saboteur]:
    """Those that such a cell can be given; ``takes_code``: whether it is an environment on this machine."""
    possible = [*(_OF_SERVERS if cell.vllm else _OF_PYTORCH)]
    if cell.needs_gpu:
        possible += [*_OF_GPUS, *(_OF_SERVERS_ON_GPUS if cell.vllm else _OF_PYTORCH_ON_GPUS)]
    return (saboteur for saboteur in possible if takes_code or not saboteur.code)
