"""What a cell without vLLM is asked: inference by PyTorch itself, with nothing else in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.suite.expect import expect_that, expect_tokens

if TYPE_CHECKING:
    from pipeline.suite.inference import Inference


def check_correct(stage: Inference) -> None:
    """Greedy tokens of the tiny model, computed by PyTorch in float32, are the golden ones."""
    alone = stage.infer([[prompt] for prompt in stage.prompts]).tokens
    for index, (tokens,) in enumerate(alone):
        expect_tokens(f"prompt {index + 1}, golden", stage.golden[index], tokens)


def check_batch(stage: Inference) -> None:
    """Prompts of different lengths, answered together, are each answered as if alone."""
    *alone, together = stage.infer([*([prompt] for prompt in stage.prompts), stage.prompts]).tokens
    for index, (tokens,) in enumerate(alone):
        expect_tokens(f"prompt {index + 1} beside others", tokens, together[index])


def check_compile(stage: Inference) -> None:
    """torch.compile finds all that it needs to make code, an empty cache apart, and that code is right."""
    found = stage.infer([stage.prompts], compiled=True)
    for index, tokens in enumerate(found.tokens[0]):
        expect_tokens(f"prompt {index + 1} by compiled code, golden", stage.golden[index], tokens)
    expect_that("code made by a compiler", bool(found.compiled), "none")
