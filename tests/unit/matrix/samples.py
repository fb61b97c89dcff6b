"""A good matrix, the cells that it has, and what becomes of another text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import matrix
from pipeline.model.errors import UsageError

ROOT = Path(__file__).parents[3]

GOOD = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu, cu130]
python: ["3.11"]
vllm: ["0.32.0", "0.31.0"]
base: {suite: bookworm, refresh: "2026-11-20"}
publish:
  repository: registry.example.org/team/vllm
"""
CPU, OLD_CPU = "vllm0.32.0-torch2.13.0-cpu-py3.11", "vllm0.31.0-torch2.13.0-cpu-py3.11"
CUDA, OLD_CUDA = "vllm0.32.0-torch2.13.0-cu130-py3.11", "vllm0.31.0-torch2.13.0-cu130-py3.11"


def load(tmp_path: Path, text: str | bytes, repository: str | None = None) -> Any:
    """The matrix that this text makes."""
    path = tmp_path / "matrix.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return matrix.load(path, repository)


def refusal(tmp_path: Path, text: str | bytes) -> str:
    """What is said of a bad text, without the folder it lies in."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")
