"""The GPU's memory: full, taken by others, or too small for model and KV cache."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import VLLM, VLLM_MEMORY
from pipeline.model.diagnoses import Blame

_CUDA_MEMORY = (
    (
        "CUDA out of memory. Tried to allocate {asked:text} GPU {gpu_number:n} has a total capacity of "
        "{total:v} {unit} of which {free:v}"
    ),
    "CUDA out of memory. Tried to allocate {asked:v} {unit}",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "cudaErrorMemoryAllocation",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "torch.OutOfMemoryError",
    "OutOfMemoryError: CUDA",
)

SIGNATURES = (
    Signature(
        id="gpu-shared",
        blame=Blame.HOST,
        cause="another process uses the GPU: when vLLM started, {free} of {total} GiB were free, and it was "
        "told to take {wanted}",
        remedy="end what `nvidia-smi` lists (an earlier server that has not quite ended, another "
        "container), or lower --gpu-memory-utilization to what is free",
        seen=(
            (
                "Free memory on device {} ({free:v}/{total:v} GiB) on startup is less than desired GPU "
                "memory utilization ({share:v}, {wanted:v} GiB)"
            ),
            (
                "Free memory on device ({free:v}/{total:v} GiB) on startup is less than desired GPU memory "
                "utilization ({share:v}, {wanted:v} GiB)"
            ),
        ),
        explains=("cuda-memory",),
        sources=(
            "https://github.com/vllm-project/vllm/issues/20305",
            "https://github.com/pytorch/pytorch/issues/175666",
        ),
    ),
    Signature(
        id="gpu-changed-meanwhile",
        blame=Blame.HOST,
        cause="another process took or gave back memory of the GPU while vLLM measured it",
        remedy="start one server after the other on a GPU, or give each its share "
        "(--gpu-memory-utilization) with a pause between them",
        seen=("Error in memory profiling. Initial free memory", "Error in memory profiling."),
        sources=("https://github.com/vllm-project/vllm/issues/20305",),
    ),
    Signature(
        id="memory-at-warm-up",
        blame=Blame.USAGE,
        cause="the GPU's memory is full before a first request: vLLM tries the largest batch ({sequences} "
        "sequences) when it starts",
        remedy="lower --max-num-seqs or --gpu-memory-utilization",
        seen=("CUDA out of memory occurred when warming up sampler with {sequences:n} dummy requests",),
        explains=("cuda-memory",),
        sources=(VLLM_MEMORY,),
    ),
    Signature(
        id="cache-too-small",
        blame=Blame.USAGE,
        cause="one request of the longest length ({length} tokens) does not fit into the GPU's memory that "
        "is left for the KV cache[: it needs {needed} GiB, {left} are there][; {tokens} tokens fit]",
        remedy="lower --max-model-len[ to {fits} or less], raise --gpu-memory-utilization, take "
        "--kv-cache-dtype fp8, or more GPUs (--tensor-parallel-size)",
        seen=(
            (
                "max seq len ({length:n}), ({needed:v} GiB KV cache is needed, which is larger than the "
                "available KV cache memory ({left:v} GiB). Based on the available memory, the estimated "
                "maximum model length is {fits:n}"
            ),
            (
                "max seq len ({length:n}), {needed:v} GiB KV cache is needed, which is larger than the "
                "available KV cache memory ({left:v} GiB). Based on the available memory, the estimated "
                "maximum model length is {fits:n}"
            ),
            (
                "max seq len ({length:n}), ({needed:v} GiB KV cache is needed, which is larger than the "
                "available KV cache memory ({left:v} GiB)"
            ),
            "max seq len ({length:n}), {needed:v} GiB KV cache is needed",
            (
                "max seq len ({length:n}) is larger than the maximum number of tokens that can be stored in "
                "KV cache ({tokens:n})"
            ),
        ),
        explains=("no-cache-left",),
        sources=(
            "https://github.com/vllm-project/vllm/issues/16118",
            "https://github.com/vllm-project/vllm/issues/2418",
            "https://github.com/kaito-project/kaito/issues/2132",
        ),
    ),
    Signature(
        id="no-cache-left",
        blame=Blame.USAGE,
        cause="the model alone fills the share of memory that vLLM may take: nothing is left for the KV "
        "cache",
        remedy="raise --gpu-memory-utilization (on a CPU VLLM_CPU_KVCACHE_SPACE), lower "
        "--max-num-batched-tokens, --enforce-eager, a smaller or quantized model, or more GPUs",
        seen=(
            "No available memory for the cache blocks",
            "Available KV cache memory: -",
            "num_gpu_blocks must be greater than 0",
        ),
        sources=(
            "https://github.com/vllm-project/vllm/issues/2248",
            "https://github.com/vllm-project/vllm/issues/17431",
        ),
    ),
    Signature(
        id="cuda-memory",
        blame=Blame.USAGE,
        cause="the GPU's memory is full[: {asked} {unit} more were asked for][, {free} of {total} {unit} "
        "were free]",
        remedy="a smaller or quantized model, a shorter --max-model-len, fewer --max-num-seqs, more GPUs "
        "(--tensor-parallel-size); while it serves: a lower --gpu-memory-utilization",
        seen=_CUDA_MEMORY,
        decides="`nvidia-smi` shows whether another process holds the memory: then it is the machine's",
        explains=("illegal-access", "cuda-library-start", "broken-context"),
        sources=(VLLM, VLLM_MEMORY),
    ),
    Signature(
        id="gpu-shared-with-others",
        blame=Blame.HOST,
        cause="the GPU's memory is full because another process ({pid}) holds {taken} of it",
        remedy="end that process (`nvidia-smi` names it: most often an earlier server), or give each its "
        "share by --gpu-memory-utilization",
        seen=(
            "Process {pid:n} has {taken:v} GiB memory in use",
            ("Process {pid:n} has {taken:v} MiB memory in use"),
        ),
        needs=(_CUDA_MEMORY,),
        explains=("cuda-memory",),
        sources=(VLLM,),
    ),
    Signature(
        id="memory-shared-with-files",
        blame=Blame.HOST,
        cause="GPU and processor share one memory here, and the kernel's cache of files counts as taken: "
        "{free} of {total} GiB were free when vLLM started",
        remedy="empty that cache before the start (`sync; echo 3 > /proc/sys/vm/drop_caches`), or lower "
        "--gpu-memory-utilization",
        seen=(
            "Free memory on device {} ({free:v}/{total:v} GiB) on startup is less than desired GPU memory",
            "Free memory on device ({free:v}/{total:v} GiB) on startup is less than desired GPU memory",
        ),
        needs=(("GB10", "DGX Spark", "NVIDIA Thor", "Jetson", "NVIDIA GH200", "AGX Orin"),),
        explains=("gpu-shared", "cuda-memory"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/48140",
            "https://github.com/vllm-project/vllm/issues/35313",
            "https://docs.nvidia.com/dgx/dgx-spark/known-issues.html",
        ),
    ),
    Signature(
        id="driver-without-memory",
        blame=Blame.HOST,
        cause="the driver found no memory of the machine for the GPU, though some may count as available: "
        "where both share one memory, the kernel's cache of files holds it",
        remedy="empty that cache before and while the model loads (`sync; echo 3 > "
        "/proc/sys/vm/drop_caches`), ask for less (--gpu-memory-utilization), or take vLLM 0.24 or newer, "
        "which gives memory back meanwhile",
        seen=("NV_ERR_NO_MEMORY", "NVRM: nvAssertOkFailedNoLog: Assertion failed: Out of memory"),
        explains=("killed", "cuda-memory", "illegal-access", "broken-context"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/56824",
            "https://github.com/vllm-project/vllm/pull/45179",
        ),
    ),
)
