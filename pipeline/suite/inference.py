"""A trial without a server: PyTorch itself answers, with the suite's own forward pass of the tiny model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.suite import golden
from pipeline.suite.trial_run import TrialRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.model import Trial

Tokens = list[int]


@dataclass(frozen=True)
class Inferred:
    """The tokens that follow each prompt, by batch, and the files that the compiler wrote."""

    tokens: list[list[Tokens]]
    compiled: list[str]


class Inference(TrialRun):
    """Runs prompts with PyTorch inside the environment, which needs only torch.

    The model is always the tiny one: no tokenizer is needed, and the probe implements its architecture.
    """

    def __init__(self, trial: Trial, log: Path) -> None:
        super().__init__(trial, log)
        answers = golden.read().answers
        self.prompts: list[Tokens] = [answer.prompt_tokens for answer in answers]
        self.golden = [answer.tokens for answer in answers]

    def infer(self, batches: Sequence[Sequence[Tokens]], *, compiled: bool = False) -> Inferred:
        """Answer each batch of prompts together, greedily, by code that was compiled or not.

        Raises Mismatch if PyTorch gives no answer in time.
        """
        question = {
            "batches": batches,
            "steps": golden.STEPS,
            "device": "cuda" if self.trial.cell.needs_gpu else "cpu",
            "compiled": compiled,
        }
        answer = self.probe("inference", self.target.model, json.dumps(question))
        return Inferred(answer["answers"], answer["compiled"])
