"""What logs say beside a failure: that something else failed, that a server came up, what machine it is."""

from __future__ import annotations

WRAPPERS = (
    "Engine core initialization failed",
    "EngineCore failed to start",
    "EngineCore encountered a fatal error",
    "EngineCore encountered an issue",
    "EngineDeadError",
    "Process EngineCore",
    "WorkerProc failed to start",
    "WorkerProc initialization failed due to an exception in a background process",
    "WorkerProc hit an exception",
    "Worker proc {name} died unexpectedly",
    "Worker {name} terminated unexpectedly",
    "failed to be inspected. Please check the logs for more details",
    "Error in inspecting model architecture",
    "Error executing method {name}. This might cause deadlock in distributed execution",
    "Error executing method",
    "Background loop has errored already",
    "AsyncEngineDeadError",
    "MQEngineDeadError",
    "Engine process failed to start",
    "Executor failed.",
    "Engine loop has died",
    "The actor died because of an error raised in its creation task",
    "ray.exceptions.RayTaskError",
    "torch._inductor.exc.InductorError",
    "torch._dynamo.exc.BackendCompilerFailed",
    "1 validation error for ModelConfig",
    "1 validation error for EngineArgs",
    "1 validation error for VllmConfig",
    "returned non-zero exit status 1",
    "failed to create shim task: OCI runtime create failed",
    "The above exception was the direct cause of the following exception",
    "During handling of the above exception, another exception occurred",
    "Traceback (most recent call last)",
    "500 Internal Server Error",
    "Back-off restarting failed container",
    "CrashLoopBackOff",
    "Application startup failed. Exiting",
    "destroy_process_group() was not called",
    "resource_tracker: There appear to be",
)
"""They follow from something else, and are never the cause."""

STARTED = (
    "Application startup complete",
    "Uvicorn running on",
    "Starting vLLM server on",
)
"""A server that came up."""

QUOTES = (
    "This can cause fd limit errors like",
    "If you are running out of memory, consider",
    "If you encounter an out of memory error",
)
"""What begins the words of a warning that quotes an error which has not happened: its line shows nothing."""

ABOUT = (
    "Driver Version: {driver:v}",
    "L4T R{l4t:v}, driver {driver:v}",
    "Nvidia driver version: {driver:v}",
    "NVRM version: NVIDIA UNIX {} Kernel Module {driver:v}",
    "vLLM API server version {vllm:v}",
    "Initializing a V1 LLM engine (v{vllm:v})",
    "vLLM Version: {vllm:v}",
    "torch=={torch:v}",
    "PyTorch version: {torch:v}",
    "CUDA used to build PyTorch: {built:v}",
    "transformers=={transformers:v}",
    "Transformers version: {transformers:v}",
    "Cuda compilation tools, release {nvcc:v}",
    "nvcc: release {nvcc:v}",
    "GPU 0: NVIDIA {gpu:text} Driver",
    "GPU 0: NVIDIA {gpu:text} (UUID",
    "GPU 0: {gpu:text}",
    "0 NVIDIA {gpu:text} O",
    "0 Tesla {gpu}",
    "GPU: NVIDIA {gpu:path}",
    "compute capability {capability:v}",
    "{libcuda_in:path}/libcuda.so.1",
)
"""What a log tells of machine and software; the first of several is believed."""
