"""A trial without a server: PyTorch itself answers, with the suite's own forward pass of the tiny model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeline.suite import golden, training
from pipeline.suite.dtypes import BEST, served
from pipeline.suite.trial_run import TrialRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.model import Trial
    from pipeline.suite.dtypes import Dtype

Tokens = list[int]

STEPS = 24
"""Tokens of an answer: the probe keeps no cache, so that each of them takes a whole forward pass."""


@dataclass(frozen=True)
class Inferred:
    """The answers by batch and prompt, each with ``tokens`` and ``logprobs``; files of the compiler."""

    answers: list[list[Any]]
    compiled: list[str]

    @property
    def tokens(self) -> list[list[Tokens]]:
        """The tokens that follow each prompt, by batch."""
        return [[answer["tokens"] for answer in batch] for batch in self.answers]


class Inference(TrialRun):
    """Runs prompts with PyTorch inside the environment, which needs only torch.

    The model is always the tiny one: no tokenizer is needed, and the probe implements its architecture.
    """

    def __init__(self, trial: Trial, _log: Path) -> None:
        super().__init__(trial)
        self.dtype = served(trial.cell)
        answers = golden.read().answers
        self.prompts: list[Tokens] = [answer.prompt_tokens for answer in answers]
        self.golden = [answer.tokens[:STEPS] for answer in answers]

    @cached_property
    def trained(self) -> Any:
        """What became of the small network, by ``probes/training.py``; it is trained once."""
        return self.probe("training", json.dumps(training.question(self._device)))

    def loaded(self, checkpoint: str) -> Any:
        """What that network answers from a checkpoint, in base64, in a process of its own."""
        asked = training.question(self._device) | {"checkpoint": checkpoint}
        return self.probe("training", json.dumps(asked))

    def generated(self) -> list[Tokens]:
        """What Transformers' own ``generate`` answers to all prompts together, in production's type."""
        question = {
            "prompts": [bytes(prompt).decode() for prompt in self.prompts],
            "steps": STEPS,
            "device": self._device,
            "dtype": self.dtype,
        }
        answers: list[Tokens] = self.probe("generation", self.target.model, json.dumps(question))
        return answers

    @property
    def _device(self) -> str:
        return "cuda" if self.trial.cell.needs_gpu else "cpu"

    def infer(self, batches: Sequence[Sequence[Tokens]], dtype: Dtype, *, compiled: bool = False) -> Inferred:
        """Answer each batch of prompts together, greedily, in this type, by code that was compiled or not.

        Raises Mismatch if PyTorch gives no answer in time.
        """
        question = {
            "batches": batches,
            "steps": STEPS,
            "device": self._device,
            "dtype": dtype,
            "best": BEST,
            "compiled": compiled,
        }
        answer = self.probe("inference", self.target.model, json.dumps(question))
        return Inferred(answer["answers"], answer["compiled"])
