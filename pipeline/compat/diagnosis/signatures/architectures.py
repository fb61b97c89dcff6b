"""Compilers that do not know the GPU: nvcc, ptxas, nvrtc, each of some CUDA of its own."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.model.diagnoses import Blame

_OLD_GPUS = (
    "Quadro P", "TITAN X", "Tesla M",
    "Tesla V100", "V100-", "Tesla P100", "Tesla P40", "Tesla P4", "GTX 10", "TITAN V", "capability 7.0",
    "capability 6.", "sm_70", "sm_61", "sm_60",
)  # fmt: skip
_NO_FLASHINFER = (
    "FlashInfer requires GPUs with sm75 or higher",
    "No supported CUDA architectures found for major versions",
)

SIGNATURES = (
    Signature(
        id="gpu-too-old-for-flashinfer",
        blame=Blame.HOST,
        cause="FlashInfer runs on GPUs of compute capability 7.5 and newer, and this one is older[: {gpu}]",
        remedy="do without it: VLLM_USE_FLASHINFER_SAMPLER=0, and another attention backend; newer vLLMs "
        "have no code for such GPUs at all",
        seen=_NO_FLASHINFER,
        needs=(_OLD_GPUS,),
        explains=("nvcc-older-than-gpu",),
        sources=("https://github.com/flashinfer-ai/flashinfer",),
    ),
    Signature(
        id="nvcc-older-than-gpu",
        blame=Blame.IMAGE,
        cause="the image's nvcc[ {nvcc}] is older than the GPU[ ({gpu})]: FlashInfer leaves out what nvcc "
        "cannot compile for, and nothing is left (12.x needs CUDA 12.9, 10.x CUDA 12.8)",
        remedy="set CUDA_HOME to a CUDA of 12.9 or newer, or install flashinfer-jit-cache, which needs no "
        "nvcc; VLLM_USE_FLASHINFER_SAMPLER=0 helps the sampler alone",
        seen=(
            *_NO_FLASHINFER,
            "requires CUDA >= 12.9",
            "requires CUDA >= 12.8",
            "SM {}.x requires CUDA",
        ),
        unless=_OLD_GPUS,
        contradicts="'FlashInfer requires GPUs with sm75 or higher' is wrong about itself: the GPU is too "
        "new for nvcc, not too old",
        explains=("compiler-fails",),
        sources=(
            "https://github.com/vllm-project/vllm/issues/50705",
            "https://github.com/vllm-project/vllm/pull/31740",
        ),
    ),
    Signature(
        id="triton-assembler-too-old",
        blame=Blame.IMAGE,
        cause="Triton's own ptxas, {ptxas}, is older than the GPU: it does not know {sm}; the system's CUDA "
        "has nothing to do with it",
        remedy="set TRITON_PTXAS_PATH=/usr/local/cuda/bin/ptxas of a CUDA that knows {sm}, or take a newer "
        "Triton",
        seen=(
            "ptxas{} Value '{sm}' is not defined for option 'gpu-name'",
            "Value '{sm}' is not defined for option 'gpu-name'",
        ),
        needs=(
            ("Repro command: {ptxas:path}/ptxas", "{ptxas:path}/triton/backends/nvidia/bin/ptxas"),
            ("triton/backends/nvidia/bin/ptxas",),
        ),
        contradicts="'Internal Triton PTX codegen error' is no error of Triton's code",
        explains=("assembler-too-old", "triton-fails", "compiler-fails"),
        sources=(
            "https://github.com/triton-lang/triton/issues/8539",
            "https://github.com/vllm-project/vllm/issues/32575",
        ),
    ),
    Signature(
        id="assembler-too-old",
        blame=Blame.IMAGE,
        cause="the ptxas that is used is older than the GPU: it does not know {sm}",
        remedy="set TRITON_PTXAS_PATH to the ptxas of a CUDA that knows {sm} (12.8 for sm_120, 12.9 for "
        "sm_121), or take a newer Triton; the line `Repro command` shows which one is used",
        seen=(
            "Value '{sm}' is not defined for option 'gpu-name'",
            "LLVM ERROR: {} '{sm}' is not a recognized processor",
            "nvrtc: error: invalid value for --gpu-architecture ({sm})",
        ),
        explains=("triton-fails", "compiler-fails"),
        sources=(
            "https://github.com/triton-lang/triton/issues/8539",
            "https://github.com/vllm-project/vllm/pull/31338",
        ),
    ),
    Signature(
        id="nvrtc-older-than-gpu",
        blame=Blame.IMAGE,
        cause="CUDA's run-time compiler (libnvrtc) is older than the GPU",
        remedy="take a PyTorch for a CUDA that knows the GPU: its nvidia-cuda-nvrtc comes with it",
        seen=("nvrtc: error: invalid value for --gpu-architecture", "NVRTC_ERROR_INVALID_OPTION"),
        explains=("assembler-too-old",),
        sources=("https://docs.nvidia.com/cuda/nvrtc/index.html",),
    ),
    Signature(
        id="assembler-older-than-code",
        blame=Blame.IMAGE,
        cause="the ptxas that is used is older than the compiler that made the PTX[: {has}]",
        remedy="use the ptxas that came with that compiler: unset TRITON_PTXAS_PATH if it names an old "
        "CUDA, else point it at a newer one",
        seen=(
            "ptxas{} Unsupported .version {wanted:v}; current version is '{has:v}'",
            "Unsupported .version {wanted:v}; current version is '{has:v}'",
            "ptxas{} Unsupported .version",
        ),
        explains=("triton-fails", "compiler-fails"),
        sources=("https://docs.nvidia.com/cuda/parallel-thread-execution/index.html",),
    ),
    Signature(
        id="kernel-uses-other-gpu",
        blame=Blame.IMAGE,
        cause="a kernel uses a feature that {sm} does not have: it was written for another branch of the "
        "same generation",
        remedy="switch that kernel off (another --moe-backend or attention backend, or the model in another "
        "quantization), or take a vLLM in which it asks for the GPU first",
        seen=("not supported on .target '{sm}'", "requires .target sm_{sm} or higher"),
        explains=("triton-fails", "compiler-fails"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/27542",
            "https://github.com/sgl-project/sglang/issues/8879",
        ),
    ),
    Signature(
        id="nvcc-forgot-gpu",
        blame=Blame.IMAGE,
        cause="this nvcc no longer compiles for such an old GPU: CUDA 13 dropped Maxwell, Pascal and Volta",
        remedy="take CUDA 12 for it, or leave {arch} out of TORCH_CUDA_ARCH_LIST",
        seen=("Unsupported gpu architecture 'compute_{arch:n}'",),
        needs=(tuple(f"gpu architecture 'compute_{arch}'" for arch in (50, 52, 53, 60, 61, 62, 70, 72)),),
        explains=("nvcc-lacks-gpu", "compiler-fails"),
        sources=("https://docs.nvidia.com/cuda/cuda-features-archive/index.html",),
    ),
    Signature(
        id="nvcc-lacks-gpu",
        blame=Blame.IMAGE,
        cause="nvcc[ {nvcc}] cannot compile for {arch}: it is older than that architecture",
        remedy="set CUDA_HOME to a newer CUDA (11.8 for compute_90, 12.8 for 100 and 120, 12.9 for 103 and "
        "121, 13.0 for 110), or leave it out of TORCH_CUDA_ARCH_LIST or FLASHINFER_CUDA_ARCH_LIST",
        seen=("Unsupported gpu architecture '{arch}'",),
        explains=("compiler-fails",),
        sources=(
            "https://github.com/flashinfer-ai/flashinfer/issues/1658",
            "https://github.com/dusty-nv/jetson-containers/issues/1186",
            "https://github.com/vllm-project/vllm/issues/8665",
        ),
    ),
    Signature(
        id="nvcc-lacks-option",
        blame=Blame.IMAGE,
        cause="nvcc[ {nvcc}] is older than the code that calls it: it does not know an option[: {option}]",
        remedy="set CUDA_HOME to a newer CUDA (12.8 for -static-global-template-stub), or install "
        "FlashInfer's compiled kernels (flashinfer-jit-cache)",
        seen=("nvcc fatal : Unknown option '{option:path}'", "nvcc fatal : Unknown option"),
        explains=("compiler-fails",),
        sources=("https://github.com/flashinfer-ai/flashinfer/issues/1532",),
    ),
)
