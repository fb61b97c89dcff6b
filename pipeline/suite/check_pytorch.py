"""The checks of a cell without vLLM: inference by PyTorch itself, with nothing else in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.suite import device
from pipeline.suite.dtypes import BEST, EXACT, expect_logprobs
from pipeline.suite.expect import expect_that, expect_tokens
from pipeline.suite.forward import Forward

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.suite.dtypes import Dtype
    from pipeline.suite.inference import Inference

    Note = Callable[[str, str], None]


def check_correct(trial_run: Inference, note: Note) -> None:
    """In the number type of production, tokens are the golden ones, and log-probabilities those of numpy."""
    note("dtype", trial_run.dtype)
    _expect_golden(trial_run, trial_run.dtype, note)


def check_batch(trial_run: Inference) -> None:
    """Prompts of different lengths, answered together, are each answered as if alone."""
    *alone, together = trial_run.infer(
        [*([prompt] for prompt in trial_run.prompts), trial_run.prompts], trial_run.dtype
    ).tokens
    for index, (tokens,) in enumerate(alone):
        expect_tokens(f"prompt {index + 1} beside others", tokens, together[index])


def check_device(trial_run: Inference, note: Note) -> None:
    """While PyTorch answers, a process and memory are on the GPU, by the driver; afterwards they are gone."""
    watch = device.Watch(trial_run.gpus)
    with watch.watching():
        trial_run.infer([trial_run.prompts], trial_run.dtype)
    uuid = trial_run.device_uuid()
    taken = watch.taken(uuid)
    taken.note(note)
    note("process", device.expect_process(taken, own=None))
    device.expect_memory(taken, share=None, own=None)
    note("memory-after", device.expect_given_back(device.chosen(trial_run.gpus, uuid), own=None))


def check_compile(trial_run: Inference) -> None:
    """torch.compile has all that it needs to compile with an empty cache, and the code is correct."""
    inferred = trial_run.infer([trial_run.prompts], trial_run.dtype, compiled=True)
    for index, tokens in enumerate(inferred.tokens[0]):
        expect_tokens(f"prompt {index + 1} by compiled code, golden", trial_run.golden[index], tokens)
    expect_that("code made by a compiler", bool(inferred.compiled), "none")


def check_exact(trial_run: Inference, note: Note) -> None:
    """In float32, tokens and log-probabilities are those of numpy: what is left is the order of sums."""
    _expect_golden(trial_run, EXACT, note)


def _expect_golden(trial_run: Inference, dtype: Dtype, note: Note) -> None:
    """Golden tokens, and the log-probabilities of the tiny model in numpy, in float64."""
    alone, exact, deviations = (
        trial_run.infer([[prompt] for prompt in trial_run.prompts], dtype),
        Forward(),
        [],
    )
    for index, (answer,) in enumerate(alone.answers):
        what, prompt, golden = f"prompt {index + 1}", trial_run.prompts[index], trial_run.golden[index]
        expect_tokens(f"{what}, golden", golden, answer["tokens"])
        wanted = exact.logprobs(prompt, list(golden), BEST)
        deviations.append(expect_logprobs(what, wanted, answer["logprobs"], dtype))
    note("logprob-deviation", f"{max(deviations):.6f}")
