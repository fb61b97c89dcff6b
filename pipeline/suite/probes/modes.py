"""Probe: what vLLM answers in each of several modes, in one process that imports it once.

Argument: a list of jobs as JSON. Each runs in a child that is forked: what one leaves behind, or dies of, is
not the next one's. A job has a ``name``, the ``seconds`` that it may take, what it ``does`` (a name of
``DOES``), and what that takes. Prints by name the ``seconds`` that it took, and its ``answer``, or the
``error`` that ended it with the end of its ``log``; beside them the ``seconds`` of the imports.

Nothing here may initialise CUDA or use PyTorch's threads before a fork. Functions that vLLM compiles on the
way, as that which counts ranks, run as they are: to compile them would take longer than all else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TORCHDYNAMO_DISABLE": "1",
}
"""The engine is in the child's own process, and its threads run where the kernel puts them."""

CACHES = (
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "FLASHINFER_WORKSPACE_BASE",
    "VLLM_CACHE_ROOT",
    "TMPDIR",
)
LOG_END = 4000
"""Bytes of a log that are told of a job which failed."""
LOOK_SECONDS = 0.02

KERNEL = (
    "import triton\n"
    "import triton.language as tl\n"
    "@triton.jit\n"
    "def add(left, right, total, count, BLOCK: tl.constexpr):\n"
    "    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
    "    inside = at < count\n"
    "    tl.store(total + at, tl.load(left + at, inside) + tl.load(right + at, inside), inside)\n"
)


# -- what a job does, in its child ------------------------------------------------------------------------


def generate(job: Any) -> Any:
    """The greedy answers: tokens, and the largest log-probabilities at each. A prompt may have an adapter."""
    vllm: Any = importlib.import_module("vllm")
    engine = vllm.LLM(**job["engine"])
    asked = vllm.SamplingParams(
        temperature=0, max_tokens=job["steps"], logprobs=job["best"], ignore_eos=True, detokenize=False
    )
    answers = engine.generate(
        prompts_of(job),
        asked,
        use_tqdm=False,
        lora_request=[adapter(folder) for folder in job["adapters"]] if job.get("adapters") else None,
    )
    return [
        {
            "tokens": list(answer.outputs[0].token_ids),
            "logprobs": [
                sorted((entry.logprob for entry in at.values()), reverse=True)[: job["best"]]
                for at in answer.outputs[0].logprobs or []
            ],
        }
        for answer in answers
    ]


def prompts_of(job: Any) -> Any:
    """The prompts of a job: tokens, or the name of a file that has them as JSON. Each may have a picture."""
    pictures = job.get("pictures") or [None] * len(job["prompts"])
    return [
        {"prompt_token_ids": json.loads(Path(prompt).read_text()) if isinstance(prompt, str) else prompt}
        | ({"multi_modal_data": {"image": picture(name, job["side"])}} if name else {})
        for prompt, name in zip(job["prompts"], pictures, strict=True)
    ]


def picture(name: str, side: int) -> Any:
    """A picture whose points are a hash of its name."""
    image: Any = importlib.import_module("PIL.Image")
    points = hashlib.shake_256(name.encode()).digest(side * side * 3)
    return image.frombytes("RGB", (side, side), points)


def see(job: Any) -> Any:
    """The greedy answers to all prompts; after these, to those with a picture, what Transformers answers."""
    vllm: Any = importlib.import_module("vllm")
    seeing: Any = importlib.import_module("vllm.model_executor.models.blip2")
    name = "Blip2ForConditionalGeneration"
    vllm.ModelRegistry.register_model(name, getattr(seeing, name))
    known = [
        by_transformers(job, prompt, picture(picture_name, job["side"]))
        for prompt, picture_name in zip(job["prompts"], job["pictures"], strict=True)
        if picture_name
    ]
    return generate(job) + known


def by_transformers(job: Any, prompt: list[int], seen: Any) -> Any:
    """The greedy answer about a picture in float32 on the CPU, in the form of ``generate``."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    folder = job["engine"]["model"]
    model = transformers.Blip2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    pixels = transformers.AutoImageProcessor.from_pretrained(folder)(images=seen, return_tensors="pt")
    tokens: list[int] = []
    logprobs: list[list[float]] = []
    with torch.inference_mode():
        while len(tokens) < job["steps"]:
            ids = torch.tensor([[*job["stands_for_picture"], *prompt, *tokens]])
            logits = model(pixel_values=pixels["pixel_values"], input_ids=ids).logits[0, -1]
            top = logits.log_softmax(-1).topk(job["best"])
            tokens.append(int(top.indices[0]))
            logprobs.append(top.values.tolist())
    return {"tokens": tokens, "logprobs": logprobs}


def adapter(folder: str | None) -> Any:
    """The adapter in this folder, as a request names it; None for no folder."""
    request: Any = importlib.import_module("vllm.lora.request")
    return request.LoRARequest("adapter", 1, folder) if folder else None


def embed(job: Any) -> Any:
    """The vector of each prompt."""
    vllm: Any = importlib.import_module("vllm")
    engine = vllm.LLM(**job["engine"])
    answers = engine.embed(prompts_of(job), use_tqdm=False)
    return [list(answer.outputs.embedding) for answer in answers]


def compile_anew(job: Any) -> Any:
    """What compilers make with empty caches: by name how far off it is, and its files.

    ``torch.compile`` everywhere; on a GPU a kernel of our own by Triton, and one of FlashInfer's, if there.
    """
    torch: Any = importlib.import_module("torch")
    os.environ.pop("TORCHDYNAMO_DISABLE", None)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as empty:
        os.environ |= dict.fromkeys(CACHES, empty)
        tempfile.tempdir = empty
        on_gpu = job["device"] == "cuda"
        makers: dict[str, Callable[[Any, str, str], float]] = {"torch.compile": by_inductor}
        if on_gpu:
            makers["triton"] = by_triton
            if importlib.util.find_spec("flashinfer"):
                makers["flashinfer"] = by_flashinfer
        made = {}
        for name, make in makers.items():
            before = objects(empty)
            deviation = make(torch, job["device"], empty)
            made[name] = {"deviation": deviation, "files": sorted(objects(empty) - before)}
    return made


def objects(folder: str) -> set[str]:
    """The libraries and kernels that compilers have left in a folder."""
    return {file.name for file in Path(folder).rglob("*") if file.suffix in {".so", ".cubin"}}


def gated(gate: Any, up: Any) -> Any:
    """Two rows, and what a Llama makes of them: the one is opened by the other."""
    return gate / (1 + (-gate).exp()) * up


def by_inductor(torch: Any, device: str, _folder: str) -> float:
    """A function of the size of a layer by ``torch.compile``."""
    gate, up = numbers(torch, device), numbers(torch, device).flip(0)

    def layer(gate: Any, up: Any) -> Any:
        opened = gated(gate, up)
        return opened * torch.rsqrt(opened.square().mean(-1, keepdim=True) + 1e-5)

    return farthest(torch.compile(layer, fullgraph=True)(gate, up), layer(gate.double(), up.double()))


def by_triton(torch: Any, device: str, folder: str) -> float:
    """A sum by a kernel whose source is written to a file, where Triton reads it."""
    (Path(folder) / "own_kernel.py").write_text(KERNEL)
    sys.path.insert(0, folder)
    kernel: Any = importlib.import_module("own_kernel")
    left, right = numbers(torch, device).flatten(), numbers(torch, device).flip(0).flatten()
    total, block = torch.empty_like(left), 256
    kernel.add[(math.ceil(left.numel() / block),)](left, right, total, left.numel(), BLOCK=block)
    return farthest(total, left.double() + right.double())


def by_flashinfer(torch: Any, device: str, _folder: str) -> float:
    """Its gate of a Llama's layer; FlashInfer takes both rows as one, in 16 bits."""
    flashinfer: Any = importlib.import_module("flashinfer")
    gate, up = numbers(torch, device).half(), numbers(torch, device).flip(0).half()
    return farthest(flashinfer.silu_and_mul(torch.cat([gate, up], -1)), gated(gate.double(), up.double()))


def numbers(torch: Any, device: str) -> Any:
    """64 rows of 256 numbers between -4 and 4."""
    return torch.arange(64 * 256).remainder(251).sub(125).div(32).reshape(64, 256).to(device)


def farthest(values: Any, wanted: Any) -> float:
    """The largest difference."""
    return float((values.double() - wanted).abs().max())


DOES = {"generate": generate, "embed": embed, "see": see, "compile": compile_anew}


# -- children ---------------------------------------------------------------------------------------------


def run(job: Any, folder: Path) -> dict[str, Any]:
    """Do a job in a child; its result. The child leads a group of its own, which ends with it."""
    started, log, outcome = time.monotonic(), folder / "log", folder / "outcome"
    child = os.fork()
    if not child:
        work(job, log, outcome)
    ended = end_of(child, started + job["seconds"])
    try:
        result: dict[str, Any] = json.loads(outcome.read_text())
    except (OSError, ValueError):
        result = {"error": f"no end within {job['seconds']:g} s" if ended is None else how(ended)}
    if "error" in result and log.exists():
        result["log"] = log.read_bytes()[-LOG_END:].decode(errors="replace")
    return result | {"seconds": time.monotonic() - started}


def work(job: Any, log: Path, outcome: Path) -> None:
    """Do the job and leave; nothing that was registered for the end of the parent may run here."""
    try:
        os.setpgid(0, 0)
        with log.open("wb") as written:
            os.dup2(written.fileno(), 1)
            os.dup2(written.fileno(), 2)
        result = {"answer": DOES[job["does"]](job)}
    except BaseException as error:  # noqa: BLE001 - the probe reports any failure
        traceback.print_exc()
        result = {"error": told(error)}
    outcome.write_text(json.dumps(result))
    os._exit(0)


def end_of(child: int, deadline: float) -> int | None:
    """Wait for a child, and end what is left of its group; its status, None if it was late."""
    pid = status = 0
    while not pid and time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0 if pid else LOOK_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if pid:
        return status
    os.waitpid(child, 0)
    return None


def told(error: BaseException | None) -> str:
    """An error and those that it comes from, the last one first."""
    texts: list[str] = []
    while error is not None and len(texts) < 8:
        texts.append(f"{type(error).__name__}: {error}".strip())
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def how(status: int) -> str:
    """How a process ended that has left no outcome."""
    code = os.waitstatus_to_exitcode(status)
    return f"ended by signal {-code}" if code < 0 else f"exit code {code} without a word"


def prepare() -> None:
    """Import what all children need: vLLM, its engine, and the model's code.

    vLLM would find out about a model's code in a process of its own, which imports all of it once more.
    """
    vllm: Any = importlib.import_module("vllm")
    importlib.import_module("vllm.v1.engine.llm_engine")
    importlib.import_module("vllm.v1.engine.core")
    llama: Any = importlib.import_module("vllm.model_executor.models.llama")
    vllm.ModelRegistry.register_model("LlamaForCausalLM", llama.LlamaForCausalLM)


def main(jobs: Any) -> None:
    """Run one job after the other, print the results, and exit at once, skipping atexit handlers."""
    os.environ |= QUIET
    started = time.monotonic()
    prepare()
    results: dict[str, Any] = {"seconds": time.monotonic() - started}
    for job in jobs:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            results[job["name"]] = run(job, Path(folder))
    sys.stdout.write(f"\nprobe-result: {json.dumps(results)}\n")
    sys.stdout.flush()
    os._exit(0)


main(json.loads(sys.argv[1]))
