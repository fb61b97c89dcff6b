"""A trial without a server: PyTorch itself answers, by the suite's own forward pass of the tiny model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.suite import golden
from pipeline.suite.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.model import Trial

Tokens = list[int]


@dataclass(frozen=True)
class Inferred:
    """The tokens that follow each prompt, by batch, and the files that the compiler made on the way."""

    tokens: list[list[Tokens]]
    compiled: list[str]


class Inference(Stage):
    """Hands prompts to PyTorch inside the environment, which needs nothing but torch for the answer.

    The model is always the tiny one: its tokens are ours to make, and its architecture is the probe's.
    """

    def __init__(self, trial: Trial, log: Path) -> None:
        super().__init__(trial, log)
        answers = golden.read().answers
        self.prompts: list[Tokens] = [answer.prompt_tokens for answer in answers]
        self.golden = [answer.tokens for answer in answers]

    def infer(self, batches: Sequence[Sequence[Tokens]], *, compiled: bool = False) -> Inferred:
        """Answer each batch of prompts together, greedily, by code that was compiled or not.

        Raises Mismatch where PyTorch comes to no answer in time.
        """
        asked = {
            "batches": batches,
            "steps": golden.STEPS,
            "device": "cuda" if self.trial.cell.needs_gpu else "cpu",
            "compiled": compiled,
        }
        found = self.probe("inference", self.target.model, json.dumps(asked))
        return Inferred(found["answers"], found["compiled"])
