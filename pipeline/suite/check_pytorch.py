"""The checks of a cell without vLLM: inference by PyTorch itself, with nothing else in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.suite.expect import expect_that, expect_tokens

if TYPE_CHECKING:
    from pipeline.suite.inference import Inference


def check_correct(trial_run: Inference) -> None:
    """Greedy tokens of the tiny model, computed by PyTorch in float32, are the golden ones."""
    alone = trial_run.infer([[prompt] for prompt in trial_run.prompts]).tokens
    for index, (tokens,) in enumerate(alone):
        expect_tokens(f"prompt {index + 1}, golden", trial_run.golden[index], tokens)


def check_batch(trial_run: Inference) -> None:
    """Prompts of different lengths, answered together, are each answered as if alone."""
    *alone, together = trial_run.infer(
        [*([prompt] for prompt in trial_run.prompts), trial_run.prompts]
    ).tokens
    for index, (tokens,) in enumerate(alone):
        expect_tokens(f"prompt {index + 1} beside others", tokens, together[index])


def check_compile(trial_run: Inference) -> None:
    """torch.compile has all that it needs to compile with an empty cache, and the code is correct."""
    inferred = trial_run.infer([trial_run.prompts], compiled=True)
    for index, tokens in enumerate(inferred.tokens[0]):
        expect_tokens(f"prompt {index + 1} by compiled code, golden", trial_run.golden[index], tokens)
    expect_that("code made by a compiler", bool(inferred.compiled), "none")
