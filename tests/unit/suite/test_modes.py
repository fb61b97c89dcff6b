"""What came of the modes is judged by what is known of their models; only a known refusal is no failure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.suite import golden
from pipeline.suite.checks import check_modes
from pipeline.suite.dtypes import BEST
from pipeline.suite.expect import Mismatch, NotRun
from pipeline.suite.forward import Forward
from pipeline.suite.models import adapter, quantised, recall
from pipeline.suite.modes import NO_JOBS, PROMPTS, STEPS, Modes, beyond_processor, prompts
from tests.builders import CPU_CELL

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = [list(answer.tokens[:STEPS]) for answer in golden.read().answers[:PROMPTS]]
NO_AMX = "RuntimeError: _C::static_scaled_fp8_quant() expected at most 0 argument(s) but received 4"


def generated(weights: Any = None, tokens: list[list[int]] | None = None) -> list[dict[str, Any]]:
    """What the probe tells of a model with these weights: by numpy, along these tokens or greedily."""
    forward = Forward(weights)
    chosen = tokens or [forward.generate(prompt, STEPS)[0] for prompt in prompts()]
    return [
        {"tokens": answer, "logprobs": forward.logprobs(prompt, answer, BEST)}
        for prompt, answer in zip(prompts(), chosen, strict=True)
    ]


@pytest.fixture(scope="module")
def healthy() -> dict[str, Any]:
    """The result of a probe that saw every mode do what it should."""
    answers: dict[str, Any] = {
        method: generated(quantised.weights(method), GOLDEN) for method in quantised.METHODS
    }
    answers["lora"] = generated(tokens=GOLDEN) + generated(adapter.weights())
    answers["embed"] = [Forward().states(prompt, [0])[-1].tolist() for prompt in prompts()]
    pictured = generated(tokens=GOLDEN)
    answers["multimodal"] = [*pictured[:2], pictured[0], *pictured[:2]]
    answers["long_context"] = [{"tokens": recall.facts("right"), "logprobs": []}]
    answers["compilers"] = {"torch.compile": {"deviation": 1e-6, "files": ["made.so"]}}
    return {job: {"answer": answer, "seconds": 1.0} for job, answer in answers.items()}


CHECKS = ("compilers", "quantized", "lora", "embed", "multimodal", "long_context")


def judged(
    check: str, told: dict[str, Any], beyond: Mapping[str, str] = NO_JOBS
) -> tuple[dict[str, str], list[float]]:
    """What a check notes, and the seconds that it says it took."""
    notes: dict[str, str] = {}
    seconds: list[float] = []
    asked = {"modes": Modes(told, beyond), "note": notes.__setitem__, "took": seconds.append}
    if check == "compilers":
        asked["trial_run"] = SimpleNamespace(trial=SimpleNamespace(cell=CPU_CELL))
    getattr(check_modes, f"check_{check}")(**asked)
    return notes, seconds


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_right_passes(check: str, healthy: dict[str, Any]) -> None:
    judged(check, healthy)


def test_a_check_takes_the_seconds_of_its_own_jobs(healthy: dict[str, Any]) -> None:
    assert judged("quantized", healthy)[1] == [4.0]


def other_tokens(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer | {"tokens": answer["tokens"][::-1]} for answer in answers]


def likelier(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer | {"logprobs": [[0.0] * BEST] * len(answer["tokens"])} for answer in answers]


def likelier_to_vllm(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*likelier(answers[:3]), *answers[3:]]


def without_logprobs(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer | {"logprobs": []} for answer in answers]


def of_the_tiny_model(_: Any) -> Any:
    """As if the adapter had been left out."""
    return generated(tokens=GOLDEN) * 2


def adapted_throughout(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return answers[PROMPTS:] * 2


def blind(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As if both pictures were the same to it, and to Transformers too."""
    return [*answers[:1] * 2, answers[2], *answers[:1] * 2]


def sees_what_is_not_there(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*answers[:2], answers[1], *answers[3:]]


def mixed_up(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The one picture for the other."""
    return [answers[1], answers[0], *answers[2:]]


def turned_about(vectors: list[list[float]]) -> list[list[float]]:
    return vectors[::-1]


def shorter(vectors: list[list[float]]) -> list[list[float]]:
    return [vector[:-1] for vector in vectors]


def distracted(_: Any) -> Any:
    return [{"tokens": recall.facts("wrong 0"), "logprobs": []}]


def inexact(made: dict[str, Any]) -> dict[str, Any]:
    return {name: result | {"deviation": 1.0} for name, result in made.items()}


def compiled_by_nobody(_: Any) -> dict[str, Any]:
    return {}


def without_direction(vectors: list[list[float]]) -> list[list[float]]:
    return [[0.0] * len(vector) for vector in vectors]


def fewer(answers: list[Any]) -> list[Any]:
    return answers[:-1]


def nothing_made(made: dict[str, Any]) -> dict[str, Any]:
    return {name: result | {"files": []} for name, result in made.items()}


@pytest.mark.parametrize(
    ("job", "change"),
    [
        *(
            (method, change)
            for method in ("gptq", "fp8")
            for change in (other_tokens, likelier, without_logprobs)
        ),
        *(("lora", change) for change in (other_tokens, likelier, of_the_tiny_model, adapted_throughout)),
        *(
            ("multimodal", change)
            for change in (blind, sees_what_is_not_there, mixed_up, likelier_to_vllm, without_logprobs)
        ),
        ("embed", turned_about),
        ("embed", shorter),
        ("embed", without_direction),
        ("compilers", compiled_by_nobody),
        *((job, fewer) for job in ("gptq", "lora", "embed", "multimodal", "long_context")),
        ("long_context", distracted),
        ("compilers", inexact),
        ("compilers", nothing_made),
    ],
)
def test_what_is_wrong_fails(job: str, change: Any, healthy: dict[str, Any]) -> None:
    check = "quantized" if job in quantised.METHODS else job
    with pytest.raises(Mismatch):
        judged(check, healthy | {job: {"answer": change(healthy[job]["answer"]), "seconds": 1.0}})


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_weights_that_are_read_in_another_order_are_found_out(method: str, healthy: dict[str, Any]) -> None:
    """As a kernel does that takes one format for another."""
    made = {
        name: np.roll(values, 1, 1) if name.endswith("down_proj.weight") else values
        for name, values in quantised.weights(method).items()
    }
    with pytest.raises(Mismatch):
        judged("quantized", healthy | {method: {"answer": generated(made, GOLDEN), "seconds": 1.0}})


@pytest.mark.parametrize("check", CHECKS)
def test_any_other_error_is_a_failure_that_tells_it(check: str, healthy: dict[str, Any]) -> None:
    broken = {job: {"error": "ended by signal 11", "seconds": 1.0} for job in healthy}
    with pytest.raises(Mismatch, match="signal 11"):
        judged(check, broken)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "told", [None, {"seconds": 1.0, "answer": "all is well"}, {"seconds": -1.0, "answer": []}, {"answer": []}]
)
def test_what_no_probe_of_ours_tells_is_a_failure(told: Any, check: str, healthy: dict[str, Any]) -> None:
    """An image may print what it likes."""
    with pytest.raises(Mismatch):
        judged(check, dict.fromkeys(healthy, told))


def test_a_method_that_vllm_refuses_here_is_noted_and_the_others_decide(healthy: dict[str, Any]) -> None:
    notes, _ = judged("quantized", healthy | {"fp8": {"error": NO_AMX, "seconds": 1.0}})
    assert notes["fp8"] == "not run: vLLM's kernels of FP8 for CPUs need AMX"
    assert notes["gptq"].startswith("logprob-deviation")


@pytest.mark.parametrize(
    ("flags", "jobs"),
    [
        ({"avx2"}, {"gptq", "awq", "int8"}),
        ({"avx2", "avx_vnni"}, {"gptq", "awq"}),
        ({"avx2", "avx512f"}, {"int8"}),
        ({"avx2", "avx512f", "avx512_vnni"}, set()),
        ({"asimd", "i8mm"}, set()),
    ],
)
def test_a_processor_is_asked_for_no_more_than_it_has_instructions_for(
    flags: set[str], jobs: set[str]
) -> None:
    assert beyond_processor(flags).keys() == jobs


def test_what_is_beyond_this_processor_was_not_run_and_the_others_decide(healthy: dict[str, Any]) -> None:
    told = {job: result for job, result in healthy.items() if job != "int8"}
    notes, _ = judged("quantized", told, beyond_processor({"avx2", "avx512f"}))
    assert notes["int8"] == "not run: vLLM's sums of INT8 overflow on a processor without VNNI"


def test_the_words_of_one_methods_refusal_excuse_no_other(healthy: dict[str, Any]) -> None:
    with pytest.raises(Mismatch, match="static_scaled_fp8_quant"):
        judged("quantized", healthy | {"gptq": {"error": NO_AMX, "seconds": 1.0}})


def test_where_every_method_is_refused_the_check_was_not_run() -> None:
    old = "ValueError: not supported for the current GPU. Minimum capability: 75. Current capability: 70."
    told = {method: {"error": old, "seconds": 1.0} for method in quantised.METHODS}
    told["int8"] = {"error": "RuntimeError: Int8 not supported on SM120. Use FP8", "seconds": 1.0}
    with pytest.raises(NotRun, match="awq: this GPU is older"):
        judged("quantized", told)
