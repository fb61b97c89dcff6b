"""Memory of the machine and of its containers, and what processes share; limits that the kernel keeps."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import KUBERNETES, NCCL, VLLM, VLLM_MEMORY
from pipeline.model.diagnoses import Blame

SIGNATURES = (
    Signature(
        id="host-memory-limit",
        blame=Blame.HOST,
        cause="the kernel ended a process because the machine's or the container's memory was full (not the "
        "GPU's)",
        remedy="raise the memory limit of the container or pod: loading takes about the size of the "
        "weights; fewer workers; on a CPU a smaller VLLM_CPU_KVCACHE_SPACE",
        seen=(
            "Reason: OOMKilled",
            "reason': 'OOMKilled'",
            "OOMKilled': true",
            "OOMKilled: true",
            "OOMKilled=true",
            " OOMKilled {restarts:n} ",
            "The node was low on resource: memory",
            "Out of memory: Killed process",
            "Memory cgroup out of memory: Killed process",
            "oom-kill:constraint",
            "oom_reaper: reaped process",
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
        unless=("Reason: OOMKilled", "OOMKilled': true"),
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
            "killed by signal: Killed",
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
            "Error while attaching to shared memory segment",
            "Error: failed to extend /dev/shm/nccl",
            "Call to posix_fallocate failed",
            "ncclShmOpen",
            "unable to open shared memory object </torch_",
            "unable to write to file </torch_",
            "unable to mmap {size:n} bytes from file </torch_",
            "unable to allocate shared memory(shm) for file",
            "It is possible that dataloader's workers are out of shared memory",
            "No space left on device: '/psm_",
            "No space left on device: '/dev/shm",
        ),
        explains=("disk-full", "nccl-error", "bus-error", "host-memory"),
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
