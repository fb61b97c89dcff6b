"""Code for the GPU: not there for this one, refused by it, or broken while it ran."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import CUDA_ERRORS, VLLM, XID
from pipeline.model.diagnoses import Blame

_CONTEXT = ("broken-context", "illegal-access", "nccl-error")

SIGNATURES = (
    Signature(
        id="gpu-not-in-torch",
        blame=Blame.IMAGE,
        cause="this PyTorch[ {torch}] holds no code for the GPU[: {gpu}][, of compute capability "
        "{capability}][, {sm}]",
        remedy="take a build whose list has the GPU: Blackwell needs cu128 or newer (PyTorch 2.7 on); Volta "
        "and older have cu126 builds up to 2.14; `python -m pipeline explain gpu=…` names what there is",
        seen=(
            "with CUDA capability {sm} is not compatible with the current PyTorch installation",
            (
                "which is of cuda capability {capability:v}. PyTorch no longer supports this GPU because it "
                "is too old"
            ),
            (
                "which is of compute capability (CC) {capability:v}. The following list shows the CCs this "
                "version of PyTorch was built for"
            ),
            "which is of compute capability (CC) {capability:v}",
            "PyTorch no longer supports this GPU because it is too old",
        ),
        explains=(*_CONTEXT, "no-kernel-image"),
        may_pass=True,
        sources=(
            "https://github.com/Comfy-Org/ComfyUI/pull/16438",
            "https://github.com/pytorch/pytorch/issues/157517",
        ),
    ),
    Signature(
        id="no-kernel-image",
        blame=Blame.IMAGE,
        cause="one of the compiled extensions holds no code for the GPU[: {gpu}]",
        remedy="take builds of torch, vLLM and further extensions whose architectures have the GPU: "
        "Blackwell needs CUDA 12.8 or newer, Volta and older have none in CUDA 13; `python -m pipeline "
        "certify IMAGE` lists them, library by library",
        seen=(
            "no kernel image is available for execution on the device",
            "cudaErrorNoKernelImageForDevice",
            "CUDA_ERROR_NO_BINARY_FOR_GPU",
            "device kernel image is invalid",
            "cudaErrorInvalidKernelImage",
        ),
        explains=_CONTEXT,
        sources=(
            "https://github.com/vllm-project/vllm/issues/19185",
            "https://github.com/pytorch/pytorch/issues/31285",
            "https://github.com/vllm-project/vllm/issues/16901",
        ),
    ),
    Signature(
        id="ptx-too-new",
        blame=Blame.HOST,
        cause="for this GPU there is PTX only, and the driver[ {driver}] is older than the CUDA that made "
        "it: minor-version compatibility covers machine code and no PTX",
        remedy="update the driver to the one that came with that CUDA (570.26 for 12.8, 575.51 for 12.9, "
        "580.65 for 13.0), on data-centre GPUs cuda-compat, or take a build with machine code for the GPU",
        seen=(
            "the provided PTX was compiled with an unsupported toolchain",
            "cudaErrorUnsupportedPtxVersion",
            "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        ),
        explains=_CONTEXT,
        sources=(
            "https://github.com/vllm-project/vllm/pull/28305",
            "https://github.com/vllm-project/vllm/issues/31700",
            "https://github.com/vllm-project/vllm/issues/47397",
        ),
    ),
    Signature(
        id="gpu-too-old-for-vllm",
        blame=Blame.HOST,
        cause="vLLM runs on no GPU below compute capability {least}",
        remedy="take a newer GPU: 7.0 (V100) is the least",
        seen=("GPUs with compute capability below {least:v} are not supported",),
        sources=("https://github.com/vllm-project/vllm/issues/1284",),
    ),
    Signature(
        id="gpu-too-old-for-triton",
        blame=Blame.HOST,
        cause="the GPU is too old for Triton, with which torch.compile and vLLM make their kernels",
        remedy="do without: --enforce-eager, and an attention backend without Triton; Triton needs 7.0, 8.0 "
        "for some kernels",
        seen=(
            "which is too old to be supported by the triton GPU compiler",
            "Triton only support CUDA 10.0 or higher",
            "Triton support requires CUDA compute capability",
        ),
        sources=("https://github.com/triton-lang/triton#compatibility",),
        explains=("triton-fails",),
    ),
    Signature(
        id="bfloat16-unsupported",
        blame=Blame.USAGE,
        cause="the model is in bfloat16, which this GPU[ ({gpu}, {capability})] does not have: that begins "
        "with compute capability 8.0",
        remedy="serve it with --dtype half (float16)",
        seen=(
            (
                "Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your {gpu:text} "
                "GPU has compute capability {capability:v}"
            ),
            "Bfloat16 is only supported on GPUs with compute capability of at least",
            "Current CUDA Device does not support bfloat16",
        ),
        sources=(
            "https://github.com/vllm-project/vllm/issues/1157",
            "https://github.com/vllm-project/vllm/issues/9990",
        ),
    ),
    Signature(
        id="flash-attention-unsupported",
        blame=Blame.HOST,
        cause="FlashAttention 2 runs on Ampere and newer GPUs only, and this one is older",
        remedy="take another attention backend (VLLM_ATTENTION_BACKEND or --attention-backend: TRITON_ATTN, "
        "FLASHINFER), or a newer GPU",
        seen=(
            "FlashAttention only supports Ampere GPUs or newer",
            "FlashAttention only support Ampere GPUs or newer",
            "FlashAttention forward only supports head dimension",
        ),
        sources=("https://github.com/vllm-project/vllm/issues/8189",),
    ),
    Signature(
        id="no-attention-backend",
        blame=Blame.USAGE,
        cause="none of vLLM's attention backends can do what model and arguments ask for on this GPU[: "
        "{why}]",
        remedy="the message says what each lacks: change that argument (--kv-cache-dtype, --block-size, "
        "--dtype), or take a vLLM whose backends have it for this GPU",
        seen=(
            "No valid attention backend found for {} with {why:text}",
            "No valid attention backend found",
            "Head size {size:n} is not supported by",
            "Selected backend {} is not valid for this configuration. Reason: {why:text}",
            "is not valid for this configuration. Reason:",
        ),
        sources=(
            "https://github.com/vllm-project/vllm/issues/28589",
            "https://github.com/vllm-project/vllm/issues/40153",
        ),
    ),
    Signature(
        id="quantization-unsupported",
        blame=Blame.MODEL,
        cause="the model's quantization needs a GPU of compute capability {least} (of two digits) or more, "
        "and this one has {has}",
        remedy="take the model in another form: awq and gptq from 75, fp8 from 89, its weights alone "
        "(marlin) from 80; or a newer GPU",
        seen=(
            (
                "is not supported for the current GPU. Minimum capability: {least:n}. Current capability: "
                "{has:n}"
            ),
            "the current GPU. Min capability: {least:n}. {} Current capability: {has:n}",
            "the current GPU. Min capability: {least:n}. {}Current capability: {has:n}",
        ),
        sources=(
            "https://github.com/vllm-project/vllm/issues/4202",
            "https://github.com/vllm-project/vllm/issues/14040",
        ),
    ),
    Signature(
        id="fp8-unsupported",
        blame=Blame.MODEL,
        cause="calculating in FP8 begins with compute capability 8.9 (Ada, Hopper), and this GPU is older",
        remedy="serve the model in 16 bits or with another quantization, and leave --kv-cache-dtype at auto",
        seen=(
            "torch._scaled_mm is only supported on CUDA devices with compute capability",
            "type fp8e4nv not supported in this architecture",
            "fp8e4nv data type is not supported on CUDA arch",
            (
                "No compiled cutlass_scaled_mm for a compute capability less than CUDA device capability: "
                "{capability}"
            ),
            "FP8 is only supported on",
        ),
        explains=("triton-fails", "kernel-not-for-gpu"),
        sources=("https://docs.vllm.ai/en/latest/features/quantization/supported_hardware/",),
    ),
    Signature(
        id="kernel-not-for-gpu",
        blame=Blame.IMAGE,
        cause="a library of kernels has none for this GPU[ ({gpu})]: it was written for other architectures",
        remedy="switch it off (VLLM_USE_DEEP_GEMM=0, VLLM_USE_FLASHINFER_…=0, another --moe-backend or "
        "attention backend), or take a vLLM whose kernels have the GPU",
        seen=(
            "hyperconnection.hpp:{}Unsupported architecture",
            "deepgemm{}Unsupported architecture",
            "deep_gemm{}Unsupported arch",
            "No compiled cutlass_scaled_mm",
            "No compiled cutlass_moe_mm",
            "no compiled nvfp4 quantization kernel",
            "No compiled get_cutlass_moe_mm_data",
            "cutlass gemm failed: Error Internal",
            "not supported on this GPU architecture",
        ),
        explains=_CONTEXT,
        sources=(
            "https://github.com/deepseek-ai/DeepGEMM/issues/236",
            "https://github.com/vllm-project/vllm/pull/31740",
        ),
    ),
    Signature(
        id="on-chip-memory",
        blame=Blame.IMAGE,
        cause="a Triton kernel asks for {wanted} bytes of the GPU's on-chip shared memory, and this GPU has "
        "{has}: it was tuned for larger ones (64 KiB on 7.5, 99 KiB on 8.6, 8.9 and 12.x, 163 KiB on 8.0, "
        "227 KiB on 9.0)",
        remedy="take another attention backend, or a vLLM whose kernel has a configuration for this GPU; a "
        "smaller --block-size may do",
        seen=("out of resource: shared memory, Required: {wanted:n}, Hardware limit: {has:n}",),
        contradicts="this 'shared memory' is a part of the GPU's processors: neither /dev/shm (--shm-size) "
        "nor the GPU's memory has to do with it",
        explains=("triton-fails", "cuda-memory"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/36802",
            "https://github.com/triton-lang/triton/issues/8182",
        ),
    ),
    Signature(
        id="registers",
        blame=Blame.IMAGE,
        cause="a kernel asks for more threads or registers than the GPU has",
        remedy="take another attention backend, or a vLLM whose kernel has a configuration for this GPU",
        seen=(
            "out of resource: threads, Required: {wanted:n}",
            "out of resource: tensor memory, Required: {wanted:n}",
            "too many resources requested for launch",
            "cudaErrorLaunchOutOfResources",
        ),
        explains=("triton-fails", *_CONTEXT),
        sources=(CUDA_ERRORS,),
    ),
    Signature(
        id="illegal-access",
        blame=Blame.IMAGE,
        cause="a kernel on the GPU read or wrote where it may not: a fault of a kernel, or of the one that "
        "was chosen for this GPU or quantization; it is told later than it happens",
        remedy="find the kernel: CUDA_LAUNCH_BLOCKING=1 and --enforce-eager; try another attention backend "
        "or vLLM; Xid 13 or 31 in dmesg belongs to it, any other is the hardware",
        seen=(
            "an illegal memory access was encountered",
            "cudaErrorIllegalAddress",
            "CUDA_ERROR_ILLEGAL_ADDRESS",
            "misaligned address",
            "CUDA error: an illegal instruction was encountered",
            "CUDA error: unspecified launch failure",
            "cudaErrorLaunchFailure",
        ),
        is_symptom=True,
        sources=(
            "https://github.com/vllm-project/vllm/issues/6976",
            "https://github.com/vllm-project/vllm/issues/17663",
        ),
    ),
    Signature(
        id="device-assert",
        blame=Blame.MODEL,
        cause="a kernel on the GPU found an index out of range: a token that the model does not have, most "
        "often a tokenizer of another model",
        remedy="look whether tokenizer and model belong together (added tokens, LoRA with more words); "
        "CUDA_LAUNCH_BLOCKING=1 names the call",
        seen=("device-side assert triggered", "cudaErrorAssert"),
        explains=("illegal-access",),
        sources=("https://docs.pytorch.org/docs/stable/notes/cuda.html",),
    ),
    Signature(
        id="cublas-mixture",
        blame=Blame.IMAGE,
        cause="cuBLAS of another minor version than PyTorch's is loaded: a part for CUDA 12.9 over a torch "
        "for 12.8, or a toolkit on LD_LIBRARY_PATH",
        remedy="unset LD_LIBRARY_PATH; take torch of the CUDA that vLLM was built with (cu129 for vLLM 0.12 "
        "to 0.19), or the nvidia-cublas that torch pins",
        seen=("CUBLAS_STATUS_INVALID_VALUE when calling", "CUBLAS_STATUS_NOT_SUPPORTED when calling"),
        sources=(
            "https://github.com/pytorch/pytorch/issues/174949",
            "https://github.com/vllm-project/vllm/issues/35608",
        ),
    ),
    Signature(
        id="cuda-library-start",
        blame=Blame.HOST,
        cause="cuBLAS or cuDNN cannot set itself up on the GPU: most often there is no memory left for it",
        remedy="lower --gpu-memory-utilization so that some memory is left, end other processes on the GPU; "
        "if the GPU is empty, a library of another CUDA is loaded (LD_LIBRARY_PATH)",
        seen=(
            "CUBLAS_STATUS_NOT_INITIALIZED",
            "CUBLAS_STATUS_ALLOC_FAILED",
            "CUDNN_STATUS_NOT_INITIALIZED",
            "CUDNN_STATUS_ALLOC_FAILED",
            "CUDNN_STATUS_INTERNAL_ERROR",
            "CUSOLVER_STATUS_INTERNAL_ERROR",
        ),
        is_symptom=True,
        decides="`nvidia-smi` while it starts shows whether the GPU's memory is full",
        sources=(VLLM, CUDA_ERRORS),
    ),
    Signature(
        id="broken-context",
        blame=Blame.HOST,
        cause="CUDA calls fail after an earlier failure on the same GPU",
        remedy="read the first CUDA error of the log, and dmesg on the host for an Xid of that minute",
        seen=("CUDA error: unknown error", "cudaErrorContextIsDestroyed", "CUDA error: context is destroyed"),
        is_symptom=True,
        sources=(CUDA_ERRORS, XID),
    ),
    Signature(
        id="jit-compiler-missing",
        blame=Blame.HOST,
        cause="the part of the driver that compiles PTX (libnvidia-ptxjitcompiler.so.1) was not brought "
        "into the container",
        remedy="on the host: install the driver whole, of one version, and the current container toolkit; "
        "then start the container again (with CDI after `nvidia-ctk cdi generate`)",
        seen=("PTX JIT compiler library not found", "cudaErrorJitCompilerNotFound"),
        explains=_CONTEXT,
        sources=("https://github.com/ollama/ollama/issues/6591", CUDA_ERRORS),
    ),
    Signature(
        id="not-supported-here",
        blame=Blame.HOST,
        cause="the driver does not offer here what was asked for: a virtual GPU without unified memory or "
        "peer access, WSL, a slice by MIG, or a container without the right",
        remedy="do without what asks for it: unset expandable_segments in PYTORCH_CUDA_ALLOC_CONF, "
        "--disable-custom-all-reduce, NCCL_CUMEM_ENABLE=0; for a vGPU its licence and unified memory",
        seen=(
            "CUDA error: operation not supported",
            "cudaErrorNotSupported",
            "CUDA_ERROR_NOT_SUPPORTED",
            "pidfd_getfd: Operation not permitted",
            "pidfd_getfd{} Operation not permitted",
        ),
        explains=_CONTEXT,
        sources=(CUDA_ERRORS,),
    ),
    Signature(
        id="no-quantized-kernel",
        blame=Blame.MODEL,
        cause="vLLM has no kernel for the model's quantization on this GPU[ ({gpu})]",
        remedy="the message says what each kernel lacks: take the model in another form, another "
        "--moe-backend, fewer GPUs if a shape does not fit, or a vLLM that has a kernel for this GPU",
        seen=(
            "Failed to find a kernel that can implement the",
            "MoE backend supports the deployment configuration",
            "No FP8 MoE backend supports",
            "No NvFp4 MoE backend supports",
            "No MXFP4 MoE backend",
        ),
        sources=("https://docs.vllm.ai/en/latest/features/quantization/supported_hardware/",),
    ),
    Signature(
        id="cuda-set-up-fails",
        blame=Blame.HOST,
        cause="CUDA could not be set up in this process: it was used before a fork, or the GPU is in a bad "
        "state",
        remedy="VLLM_WORKER_MULTIPROC_METHOD=spawn; if a new process fails alike, look at `nvidia-smi` and "
        "dmesg",
        seen=(
            "CUDA error: initialization error",
            "cudaErrorInitializationError",
            ("Error 3: initialization error"),
        ),
        is_symptom=True,
        sources=(CUDA_ERRORS,),
    ),
)
