"""Memory: the GPU's, the machine's, and what processes share."""

from __future__ import annotations

from pipeline.compat.signatures.signature import Signature
from pipeline.compat.signatures.sources import KUBERNETES, NCCL, VLLM, VLLM_MEMORY
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
        id="host-memory-limit",
        blame=Blame.HOST,
        cause="the kernel ended a process because the machine's or the container's memory was full (not the "
        "GPU's)",
        remedy="raise the memory limit of the container or pod: loading takes about the size of the "
        "weights; fewer workers; on a CPU a smaller VLLM_CPU_KVCACHE_SPACE",
        seen=(
            "OOMKilled",
            "Out of memory: Killed process",
            "Memory cgroup out of memory: Killed process",
            "oom-kill:constraint",
            "oom_reaper: reaped process",
            "Reason: OOMKilled",
            "raylet{} Workers (tasks / actors) killed due to memory pressure",
            "ray.exceptions.OutOfMemoryError",
            "A process of this unit has been killed by the OOM killer",
        ),
        explains=("killed", "host-memory", "cuda-memory", "worker-waits"),
        sources=(KUBERNETES, VLLM),
    ),
    Signature(
        id="probe-killed",
        blame=Blame.USAGE,
        cause="Kubernetes ended the container because its probe failed: the server was not up in the time "
        "that the probe allows",
        remedy="give it a startupProbe with time for loading and compiling (failureThreshold x "
        "periodSeconds of ten minutes or more), before the livenessProbe counts",
        seen=(
            "failed liveness probe, will be restarted",
            "failed startup probe, will be restarted",
            "Liveness probe failed:",
            "Startup probe failed:",
        ),
        needs=(
            (
                "will be restarted",
                "Exit Code: 137",
                "exit code 137",
                "Exit Code: 143",
                "exit code 143",
                "Killing",
            ),
        ),
        unless=("OOMKilled",),
        explains=("killed",),
        sources=("https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",),
    ),
    Signature(
        id="killed",
        blame=Blame.HOST,
        cause="a process was ended by SIGKILL (exit code 137): most often the machine's or the container's "
        "memory was full; it can also be a probe or somebody's `docker kill`",
        remedy="look who it was: `kubectl describe pod` (Reason: OOMKilled), `docker inspect` (OOMKilled), "
        "dmesg (Out of memory); then raise the memory limit",
        seen=(
            "exit code 137",
            "Exit Code: 137",
            "exited with code 137",
            "exited (137)",
            "exit status 137",
            "ExitCode': 137",
            "exitCode: 137",
            "echo $? 137",
            "was killed by signal: Killed",
            "terminated by signal SIGKILL",
            "died due to signal 9",
            "exit code -9",
            "exitcode: -9",
            "exitcode -9",
            "(SIGKILL) received by PID",
            "Failed core proc(s): {'{core}': -9",
        ),
        decides="dmesg on the host names the process where memory was the reason",
        is_symptom=True,
        sources=(KUBERNETES,),
    ),
    Signature(
        id="host-memory",
        blame=Blame.HOST,
        cause="the machine's or the container's memory is not enough (not the GPU's)",
        remedy="raise the memory limit, or load with less: fewer workers, no --swap-space, --cpu-offload-gb "
        "lower; `free -g` in the container shows what there is",
        seen=(
            "DefaultCPUAllocator: can't allocate memory",
            "DefaultCPUAllocator: not enough memory",
            "[Errno 12] Cannot allocate memory",
            "std::bad_alloc",
            "unable to mmap {size:n} bytes from file",
            "MemoryError",
            "numpy.core._exceptions._ArrayMemoryError",
        ),
        unless=("parse_safetensors_file_metadata",),
        sources=("https://docs.vllm.ai/en/latest/getting_started/installation/cpu/",),
    ),
    Signature(
        id="cpu-share",
        blame=Blame.USAGE,
        cause="the CPU build was told to take more of the machine's memory than is free",
        remedy="lower VLLM_CPU_KVCACHE_SPACE or --gpu-memory-utilization (which counts the machine's memory "
        "there), or give the container more memory",
        seen=(
            "is less than desired CPU memory utilization",
            "Too large VLLM_CPU_KVCACHE_SPACE",
        ),
        explains=("host-memory",),
        sources=("https://docs.vllm.ai/en/latest/getting_started/installation/cpu/",),
    ),
    Signature(
        id="swap-space",
        blame=Blame.USAGE,
        cause="--swap-space is more than most of the machine's memory",
        remedy="lower --swap-space (GiB for each GPU), or give the container more memory",
        seen=("Too large swap space.", "Possibly too large swap space."),
        may_pass=True,
        sources=(VLLM_MEMORY,),
    ),
    Signature(
        id="shared-memory-small",
        blame=Blame.USAGE,
        cause="the shared memory (/dev/shm) of the container is too small: NCCL and the workers pass data "
        "through it, and Docker gives 64 MiB",
        remedy="`docker run --shm-size=16g` or --ipc=host; in Kubernetes an emptyDir with `medium: Memory` "
        "at /dev/shm",
        seen=(
            "Error while creating shared memory segment",
            "Error: failed to extend /dev/shm/nccl",
            "Call to posix_fallocate failed",
            "ncclShmOpen",
            "unable to open shared memory object </torch_",
            "unable to write to file </torch_",
            "unable to allocate shared memory(shm) for file",
            "It is possible that dataloader's workers are out of shared memory",
            "No space left on device: '/psm_",
            "No space left on device: '/dev/shm",
        ),
        explains=("disk-full", "nccl-error", "bus-error"),
        sources=(
            "https://github.com/NVIDIA/nccl/issues/342",
            "https://github.com/vllm-project/vllm/issues/1710",
            NCCL,
        ),
    ),
    Signature(
        id="bus-error",
        blame=Blame.USAGE,
        cause="a process was ended by SIGBUS (exit code 135): the memory that it shared with others could "
        "not be backed, most often because /dev/shm is full",
        remedy="`docker run --shm-size=16g` or --ipc=host; in Kubernetes an emptyDir with `medium: Memory` "
        "at /dev/shm; else a file that is mapped was cut off (a full disk, a network file system)",
        seen=(
            "killed by signal: Bus error",
            "Unexpected bus error encountered in worker",
            "Bus error (core dumped)",
            "Fatal Python error: Bus error",
            "exit code 135",
            "Exit Code: 135",
            "exited with code 135",
            "echo $? 135",
            "(SIGBUS) received by PID",
        ),
        sources=(
            "https://github.com/pytorch/pytorch/issues/5040",
            "https://github.com/bytedance/Protenix/issues/2",
        ),
    ),
    Signature(
        id="locked-memory",
        blame=Blame.USAGE,
        cause="memory cannot be locked for RDMA: the container's limit (ulimit -l) is too low",
        remedy="`docker run --ulimit memlock=-1 --cap-add IPC_LOCK`; in Kubernetes the capability IPC_LOCK",
        seen=(
            "Call to ibv_reg_mr failed",
            "Call to ibv_create_cq failed with error Cannot allocate memory",
            "Call to ibv_create_qp failed",
            "ibv_reg_mr_iova2 failed with error Cannot allocate memory",
            "RLIMIT_MEMLOCK",
        ),
        explains=("nccl-error", "host-memory"),
        sources=(NCCL, "https://github.com/vllm-project/vllm/issues/10626"),
    ),
    Signature(
        id="open-files",
        blame=Blame.USAGE,
        cause="the limit of open files is reached",
        remedy="raise it: `ulimit -n 65536`, `docker run --ulimit nofile=65536`",
        seen=("[Errno 24] Too many open files", "Too many open files"),
        sources=("https://docs.docker.com/reference/cli/docker/container/run/",),
    ),
    Signature(
        id="threads",
        blame=Blame.HOST,
        cause="no further thread or process may be started: the limit of processes of the container or user "
        "is reached",
        remedy="raise it (`docker run --pids-limit=-1`, in Kubernetes podPidsLimit, `ulimit -u`), or start "
        "fewer: OMP_NUM_THREADS, fewer workers",
        seen=(
            "can't start new thread",
            "pthread_create failed for thread {n:n} of {all:n}: Resource temporarily unavailable",
            "libgomp: Thread creation failed: Resource temporarily unavailable",
            "Resource temporarily unavailable: fork",
            "fork: retry: Resource temporarily unavailable",
            "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        ),
        unless=("pthread_create failed for thread {n:n} of {all:n}: Operation not permitted",),
        sources=("https://docs.docker.com/reference/cli/docker/container/run/",),
    ),
    Signature(
        id="engine-too-old",
        blame=Blame.HOST,
        cause="the container engine is older than the image's C library: its filter of system calls refuses "
        "clone3, so that no thread can be started",
        remedy="update Docker (20.10.10 or newer) and libseccomp on the host; --security-opt "
        "seccomp=unconfined meanwhile",
        seen=("pthread_create failed for thread {n:n} of {all:n}: Operation not permitted",),
        explains=("threads",),
        sources=("https://github.com/moby/moby/pull/42681",),
    ),
)
