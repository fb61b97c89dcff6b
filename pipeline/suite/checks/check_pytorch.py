"""The checks of a cell without vLLM: inference by PyTorch itself, with nothing else in the environment."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.model import ANSWERS
from pipeline.suite import device, training
from pipeline.suite.dtypes import BEST, EXACT, expect_logprobs
from pipeline.suite.expect import Mismatch, NotRun, expect, expect_that, expect_tokens
from pipeline.suite.fingerprint import fingerprint
from pipeline.suite.forward import Forward

if TYPE_CHECKING:
    from typing import Any

    from pipeline.suite.checks import Note
    from pipeline.suite.dtypes import Dtype
    from pipeline.suite.inference import Inference


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


def check_train(trial_run: Inference, note: Note) -> None:
    """A small network learns: loss and gradients are those of numpy, and the loss falls at every step.

    It is trained in float32, by AdamW, on the GPU where the cell claims one. Gradients are compared along one
    direction for each weight, with the difference of two losses.

    A pass does not say that training is right in a smaller number type, on several GPUs, or at scale.
    """
    trained = trial_run.trained
    losses, exact = trained["losses"], {"loss": training.loss(training.weights())} | training.slopes()
    seen = {"loss": losses[0]} | trained["slopes"]
    note("loss", f"{losses[0]:.4f} to {losses[-1]:.4f} in {len(losses) - 1} steps")
    deviations = [_expect_close(name, value, seen.get(name)) for name, value in exact.items()]
    note("gradient-deviation", f"{max(deviations):.1e}")
    falls = [former > later for former, later in pairwise(losses)]
    expect_that(
        f"a loss that falls at each of {training.STEPS} steps", falls == [True] * training.STEPS, losses
    )


def check_checkpoint(trial_run: Inference) -> None:
    """What was trained is saved; loaded in another process it gives the same answers, bit for bit.

    So is the state of the optimizer.
    """
    trained = trial_run.trained
    loaded = trial_run.loaded(trained["checkpoint"])
    expect("SHA-256 of weights and optimizer:", trained["state"], loaded["state"])
    expect("SHA-256 of the answers:", trained["answers"], loaded["answers"])


def check_generate(trial_run: Inference) -> None:
    """Transformers, where it is in the image, generates the golden tokens for all prompts together."""
    if "transformers" not in trial_run.packages()["installed"]:
        raise NotRun("Transformers is not in the image")
    generated = trial_run.generated()
    expect("answers:", len(trial_run.golden), len(generated))
    for index, tokens in enumerate(generated):
        expect_tokens(f"prompt {index + 1} by generate, golden", trial_run.golden[index], tokens)


def check_exact(trial_run: Inference, note: Note) -> None:
    """In float32, tokens and log-probabilities are those of numpy: what is left is the order of sums."""
    _expect_golden(trial_run, EXACT, note)


def _expect_close(what: str, wanted: float, seen: Any) -> float:
    """A loss or a slope is that of numpy, within the tolerance; the deviation, as a share of it."""
    is_number = isinstance(seen, int | float)
    deviation = abs(seen - wanted) / abs(wanted) if is_number else math.inf
    if not deviation <= training.TOLERANCE:  # also where it is no number
        of = "the loss" if what == "loss" else f"the slope of the loss along {what}"
        raise Mismatch(f"{of}: {wanted:.6f} within {training.TOLERANCE:.1%}", f"{seen}")
    return deviation


def _expect_golden(trial_run: Inference, dtype: Dtype, note: Note) -> None:
    """Golden tokens, and the log-probabilities of the tiny model in numpy, in float64."""
    alone, exact, deviations = (
        trial_run.infer([[prompt] for prompt in trial_run.prompts], dtype),
        Forward(),
        [],
    )
    note(ANSWERS, fingerprint(tokens for (tokens,) in alone.tokens))
    for index, (answer,) in enumerate(alone.answers):
        what, prompt, golden = f"prompt {index + 1}", trial_run.prompts[index], trial_run.golden[index]
        expect_tokens(f"{what}, golden", golden, answer["tokens"])
        wanted = exact.logprobs(prompt, list(golden), BEST)
        deviations.append(expect_logprobs(what, wanted, answer["logprobs"], dtype))
    note("logprob-deviation", f"{max(deviations):.6f}")
