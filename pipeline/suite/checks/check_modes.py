"""The checks of vLLM's modes beside plain serving: compilers, quantised weights, adapters, vectors.

They share one process of the environment, and come after all servers have ended. See ``modes.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.suite import golden
from pipeline.suite.answers import clear_until
from pipeline.suite.dtypes import BEST, EXACT, expect_logprobs
from pipeline.suite.expect import NotRun, expect, expect_that, expect_tokens
from pipeline.suite.forward import Forward
from pipeline.suite.models import adapter, quantised, recall
from pipeline.suite.models.picture import PICTURES
from pipeline.suite.modes import PROMPTS, Modes, prompts, try_modes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.suite.checks import Note
    from pipeline.suite.modes import Generated, Made
    from pipeline.suite.serving import Serving

    Took = Callable[[float], None]

JIT_TOLERANCE = {"torch.compile": 1e-4, "triton": 0.0, "flashinfer": 0.05}
"""How far what was compiled may be from float64: by a sum in float32, not at all, by float16 of up to 16."""

DEVIATION = {"gptq": 0.5, "awq": 0.5, "int8": 0.5, "fp8": 2.0, "lora": 0.5}
"""By how much a log-probability may differ from that of numpy on the weights which a model stands for.

Arithmetic in bfloat16 moves them by 0.2, with activations quantised to INT8 by 0.25, to FP8 by 1.5 (a unit
test); weights that are read in another way, by much more.
"""

ALIKE = 0.99
"""The cosine from which on two vectors are the same: bfloat16 leaves 0.999, another prompt less than 0.9."""


@pytest.fixture(scope="session")
def modes(request: pytest.FixtureRequest, trial_run: Serving) -> Modes:
    """What the modes of the selected checks answered. Where no server came up, they are not tried."""
    trial_run.production.require_up()
    trial_run.end_all()
    asked = {item.name.partition("_")[2] for item in request.session.items}
    return try_modes(trial_run, asked - trial_run.trial.left_out.keys())


@pytest.fixture
def took(request: pytest.FixtureRequest) -> Took:
    """Says how many seconds the check took: its own, not those of all modes together."""
    return lambda seconds: request.node.user_properties.append(("seconds", seconds))


def check_compilers(trial_run: Serving, modes: Modes, note: Note, took: Took) -> None:
    """With empty caches, compilers of the image make code that computes what it should.

    They are torch.compile's (C++ on a CPU, Triton on a GPU); on a GPU also Triton's with a kernel of ours,
    and FlashInfer's where that is installed.
    """
    took(modes.seconds("compilers"))
    expect_compiled(modes.made("compilers"), trial_run.trial.cell.needs_gpu, note)


def check_quantized(modes: Modes, note: Note, took: Took) -> None:
    """Models quantised by GPTQ, AWQ, FP8 and INT8 give the golden answers, as likely as they are in numpy.

    Each that this hardware has kernels for is tried, and noted; at least one has to be.
    """
    took(modes.seconds(*quantised.METHODS))
    reasons = dict(filter(None, (_refused(modes, method, note) for method in quantised.METHODS)))
    if len(reasons) == len(quantised.METHODS):
        raise NotRun("; ".join(f"{method}: {reason}" for method, reason in reasons.items()))


def check_lora(modes: Modes, note: Note, took: Took) -> None:
    """Requests with a LoRA adapter are answered as by numpy with it; those beside them stay golden.

    A pass does not say that this holds where every slot has an adapter: on a CPU vLLM 0.32.0 then gives the
    last one to requests that asked for none (https://github.com/vllm-project/vllm/pull/48421).
    """
    took(modes.seconds("lora"))
    expect_adapted(modes.generated("lora", 2 * PROMPTS), note)


def check_embed(modes: Modes, note: Note, took: Took) -> None:
    """As a pooling model, the tiny model gives each prompt the vector that numpy gives it."""
    took(modes.seconds("embed"))
    expect_vectors(modes.vectors("embed", PROMPTS), note)


def check_multimodal(modes: Modes, note: Note, took: Took) -> None:
    """Two pictures are answered as by Transformers, each in its own way; without one the answer is golden.

    In float32, by a BLIP-2 with the tiny model. A pass does not say that other encoders of pictures, of sound
    or of film are right.
    """
    took(modes.seconds("multimodal"))
    expect_seen(modes.generated("multimodal", 2 * len(PICTURES) + 1), note)


def check_long_context(modes: Modes, note: Note, took: Took) -> None:
    """A prompt of 32k tokens is answered by what stands at its beginning, on a rope that was made longer.

    On a GPU the weights are on the CPU meanwhile.
    """
    took(modes.seconds("long_context"))
    (answer,) = modes.generated("long_context", 1)
    note("tokens", f"{recall.CONTEXT}")
    expect_tokens("the beginning of the prompt", recall.facts("right"), answer.tokens)


# -- comparisons ----------------------------------------------------------------------------------------


def expect_compiled(made: Mapping[str, Made], has_gpu: bool, note: Note) -> None:
    """Every compiler left code, and what it computes is right."""
    needed = {"torch.compile", "triton"} if has_gpu else {"torch.compile"}
    is_all = needed <= made.keys() <= JIT_TOLERANCE.keys()
    expect_that(f"results of {', '.join(sorted(needed))}", is_all, ", ".join(sorted(made)) or "none")
    for name, result in made.items():
        note(name.replace(".", "-"), f"off by {result.deviation:.2g}")
        expect_that(f"{name} leaves code in its cache", bool(result.files), "no library and no kernel")
        within = JIT_TOLERANCE[name]
        expect_that(f"{name}: exact within {within:g}", result.deviation <= within, result.deviation)


def _refused(modes: Modes, method: str, note: Note) -> tuple[str, str] | None:
    """The method and why it cannot run here; None where it ran, and was right."""
    try:
        answers = modes.generated(method, PROMPTS)
    except NotRun as refusal:
        note(method, f"not run: {refusal.reason}")
        return method, refusal.reason
    deviation = expect_quantised(method, answers)
    note(method, f"logprob-deviation {deviation:.6f}")
    return None


def expect_quantised(method: str, answers: Sequence[Generated]) -> float:
    """The answers of a quantised model: the golden tokens, as likely as in numpy. The largest deviation."""
    for number, (answer, wanted) in enumerate(zip(answers, golden.read().answers, strict=False), 1):
        expect_tokens(
            f"{method}, prompt {number}, golden", wanted.tokens[: len(answer.tokens)], answer.tokens
        )
    return _expect_likely(method, quantised.weights(method), answers)


def expect_adapted(answers: Sequence[Generated], note: Note) -> None:
    """The first half of the answers are the tiny model's, the others those of the model with the adapter."""
    base, adapted = answers[:PROMPTS], answers[PROMPTS:]
    for number, (answer, wanted) in enumerate(zip(base, golden.read().answers, strict=False), 1):
        expect_tokens(
            f"prompt {number} without the adapter", wanted.tokens[: len(answer.tokens)], answer.tokens
        )
    for number, (answer, other) in enumerate(zip(adapted, base, strict=True), 1):
        expect_that(f"another answer to prompt {number} with the adapter", answer != other, "the same")
    note("logprob-deviation", f"{_expect_likely('lora', adapter.weights(), adapted):.6f}")


def _expect_likely(what: str, weights: Mapping[str, Any], answers: Sequence[Generated]) -> float:
    """Answers are as likely as in numpy, which is led along them, and no token is one that it would not take.

    Returns the largest deviation of a log-probability.
    """
    exact, tolerance, worst = Forward(weights), DEVIATION[what], 0.0
    for number, (prompt, answer) in enumerate(zip(prompts(), answers, strict=True), 1):
        logits = exact.logits(prompt, list(answer.tokens))
        logprobs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        behind = float((logprobs.max(1) - logprobs[range(len(answer.tokens)), answer.tokens]).max())
        expect_that(
            f"{what}, prompt {number}: tokens that are {tolerance:g} behind the best at most",
            behind <= tolerance,
            f"one that is {behind:.4f} behind, of {list(answer.tokens)}",
        )
        wanted = np.sort(logprobs, 1)[:, : -BEST - 1 : -1]
        counts = [len(at) for at in answer.logprobs]
        expect(f"{what}, prompt {number}: log-probabilities at each token:", [BEST] * len(wanted), counts)
        deviation = float(np.abs(wanted - np.array(answer.logprobs)).max())
        expect_that(
            f"{what}, prompt {number}: log-probabilities of numpy within {tolerance:g}",
            deviation <= tolerance,
            f"one that is off by {deviation:.4f}",
        )
        worst = max(worst, deviation)
    return worst


def expect_seen(answers: Sequence[Generated], note: Note) -> None:
    """Answers about pictures, then one without any, then those of Transformers about the same pictures."""
    seen, (blind, *known) = answers[: len(PICTURES)], answers[len(PICTURES) :]
    compared, deviation = 0, 0.0
    for name, answer, wanted in zip(PICTURES, seen, known, strict=True):
        what = f"the {name} picture"
        for one in (answer, wanted):
            counts = [len(at) for at in one.logprobs]
            expect(f"{what}: log-probabilities at each token:", [BEST] * len(answer.tokens), counts)
        count = clear_until(wanted.logprobs, EXACT)
        expect_tokens(f"{what}, Transformers", wanted.tokens[:count], answer.tokens[:count])
        off = expect_logprobs(what, wanted.logprobs[:count], answer.logprobs[:count], EXACT)
        compared, deviation = compared + count, max(deviation, off)
    expect_that("different answers to two pictures", seen[0].tokens != seen[1].tokens, list(seen[0].tokens))
    wanted_blind = golden.read().answers[0].tokens[: len(blind.tokens)]
    expect_tokens("without a picture, golden", wanted_blind, blind.tokens)
    note("tokens-compared", f"{compared}")
    note("logprob-deviation", f"{deviation:.6f}")


def expect_vectors(vectors: Sequence[Sequence[float]], note: Note) -> None:
    """The vectors point where the state after the last token of each prompt does."""
    exact = Forward()
    cosines = []
    for number, (prompt, vector) in enumerate(zip(prompts(), vectors, strict=True), 1):
        wanted, seen = exact.states(prompt, [0])[-1], np.asarray(vector, np.float64)
        expect(f"prompt {number}: numbers in the vector:", len(wanted), len(seen))
        with np.errstate(over="ignore"):  # an environment may tell numbers whose squares are none
            length = float(np.linalg.norm(seen))
        expect_that(f"prompt {number}: a vector with a direction", 0 < length < np.inf, f"length {length}")
        cosine = float(wanted @ seen / np.linalg.norm(wanted) / length)
        expect_that(f"prompt {number}: the vector of numpy, cosine {ALIKE} at least", cosine >= ALIKE, cosine)
        cosines.append(cosine)
    note("cosine", f"{min(cosines):.6f}")
