"""What was asked for: arguments of the server, and programs that use vLLM."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import VLLM, VLLM_MEMORY
from pipeline.model.diagnoses import Blame

_ARGUMENTS = "https://docs.vllm.ai/en/latest/configuration/engine_args/"

SIGNATURES = (
    Signature(
        id="context-too-long",
        blame=Blame.USAGE,
        cause="--max-model-len {asked} is longer than the model's own {limit}",
        remedy="lower --max-model-len to {limit}; only a model that is made for scaling (rope_scaling, "
        "YaRN) goes beyond, with VLLM_ALLOW_LONG_MAX_MODEL_LEN=1",
        seen=(
            (
                "User-specified max_model_len ({asked:n}) is greater than the derived max_model_len "
                "({}={limit:n}"
            ),
            "max_model_len ({asked:n}) is greater than the derived max_model_len ({}{limit:n}",
        ),
        sources=(_ARGUMENTS,),
    ),
    Signature(
        id="batch-smaller-than-context",
        blame=Blame.USAGE,
        cause="--max-num-batched-tokens {batch} is less than --max-model-len {length}, and chunked prefill "
        "is off",
        remedy="raise --max-num-batched-tokens to {length}, lower --max-model-len, or leave chunked prefill "
        "on",
        seen=("max_num_batched_tokens ({batch:n}) is smaller than max_model_len ({length:n})",),
        sources=(_ARGUMENTS,),
    ),
    Signature(
        id="heads-not-divisible",
        blame=Blame.USAGE,
        cause="the model's {heads} attention heads cannot be divided among {ways} GPUs",
        remedy="choose a --tensor-parallel-size that divides {heads}, and --pipeline-parallel-size for the "
        "rest",
        seen=("number of attention heads ({heads:n}) must be divisible by tensor parallel size ({ways:n})",),
        sources=("https://docs.vllm.ai/en/latest/serving/parallelism_scaling/",),
    ),
    Signature(
        id="shape-not-divisible",
        blame=Blame.USAGE,
        cause="the model's weights cannot be divided among so many GPUs, or not in this quantization",
        remedy="lower --tensor-parallel-size; for experts --enable-expert-parallel; for a quantized model "
        "its groups must fit",
        seen=(
            "The input size is not aligned with the quantized weight shape",
            "The output size is not aligned with the quantized weight shape",
            "is not divisible by weight quantization block_n",
            "is not divisible by weight quantization block_k",
            "is not divisible by {ways:n}",
        ),
        sources=("https://docs.vllm.ai/en/latest/serving/parallelism_scaling/",),
    ),
    Signature(
        id="argument-unknown",
        blame=Blame.USAGE,
        cause="the server does not know what it was given: {words}",
        remedy="`vllm serve --help=all` of this very version[ ({vllm})] has its arguments: they come and go "
        "between releases; the image's entrypoint may have given some already",
        seen=(
            "error: unrecognized arguments: {words:text}",
            "error: argument {words:text}",
            "error: the following arguments are required: {words:text}",
            "error: ambiguous option: {words:text}",
            "got an unexpected keyword argument '{words}'",
        ),
        sources=(_ARGUMENTS,),
    ),
    Signature(
        id="quantization-mismatch",
        blame=Blame.USAGE,
        cause="--quantization names another form than the model is in[: {has}, not {asked}]",
        remedy="leave --quantization out: vLLM reads it from the model",
        seen=(
            (
                "Quantization method specified in the model config ({has}) does not match the quantization "
                "method specified in the 'quantization' argument ({asked})"
            ),
            "Unknown quantization method: {asked}",
            "Cannot find the config file for {asked}",
        ),
        sources=("https://docs.vllm.ai/en/latest/features/quantization/",),
    ),
    Signature(
        id="dtype-mismatch",
        blame=Blame.USAGE,
        cause="this quantization does not calculate in the number type that was asked for[: {asked}]",
        remedy="--dtype auto, or float16 for awq and gptq",
        seen=(
            "{asked} is not supported for quantization method",
            "expected scalar type {asked} but found",
            "expected mat1 and mat2 to have the same dtype",
        ),
        sources=("https://docs.vllm.ai/en/latest/features/quantization/",),
    ),
    Signature(
        id="backend-unknown",
        blame=Blame.USAGE,
        cause="there is no attention backend of this name: {name}",
        remedy="look up its name in this version (FLASH_ATTN, FLASHINFER, TRITON_ATTN, …), or let vLLM "
        "choose: unset VLLM_ATTENTION_BACKEND",
        seen=(
            "Invalid attention backend: '{name}'",
            "Unknown attention backend: '{name}'",
            "Invalid value '{name}' for VLLM_ATTENTION_BACKEND",
        ),
        sources=(_ARGUMENTS,),
    ),
    Signature(
        id="feature-unsupported",
        blame=Blame.USAGE,
        cause="this vLLM cannot do what was asked for together: {what}",
        remedy="leave one of them out, or unset VLLM_USE_V1",
        seen=(
            "VLLM_USE_V1=1 is not supported with {what:text}",
            "NotImplementedError: {what:text} is not supported",
        ),
        sources=(VLLM,),
    ),
    Signature(
        id="lora-rank",
        blame=Blame.USAGE,
        cause="the adapter's rank {rank} is greater than the server's {most}",
        remedy="--max-lora-rank {rank}",
        seen=("LoRA rank {rank:n} is greater than max_lora_rank {most:n}",),
        sources=("https://docs.vllm.ai/en/latest/features/lora/",),
    ),
    Signature(
        id="tool-parser",
        blame=Blame.USAGE,
        cause="tools are asked for, and the server was not told how this model writes its calls",
        remedy="--enable-auto-tool-choice --tool-call-parser NAME, with the parser for this model",
        seen=(
            "tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
            "invalid tool call parser: {name}",
            "--enable-auto-tool-choice requires --tool-call-parser",
        ),
        sources=("https://docs.vllm.ai/en/latest/features/tool_calling/",),
    ),
    Signature(
        id="forked-after-cuda",
        blame=Blame.USAGE,
        cause="CUDA was used before vLLM started its workers by fork, which CUDA does not survive",
        remedy="VLLM_WORKER_MULTIPROC_METHOD=spawn, and nothing of torch.cuda before LLM(); under spawn the "
        "program's start belongs under `if __name__ == '__main__':`",
        seen=("Cannot re-initialize CUDA in forked subprocess", "CUDA initialization{}in forked subprocess"),
        explains=("driver-fails",),
        sources=(
            "https://github.com/vllm-project/vllm/issues/7151",
            "https://github.com/vllm-project/vllm/issues/8893",
        ),
    ),
    Signature(
        id="no-main-guard",
        blame=Blame.USAGE,
        cause="the program starts vLLM at import, and each worker imports the program again",
        remedy="put what starts it under `if __name__ == '__main__':`",
        seen=("before the current process has finished its bootstrapping phase",),
        sources=("https://docs.vllm.ai/en/latest/usage/troubleshooting.html#python-multiprocessing",),
    ),
    Signature(
        id="capture-fails",
        blame=Blame.USAGE,
        cause="recording CUDA graphs failed: a kernel did what cannot be recorded, or memory ran out",
        remedy="--enforce-eager does without graphs and shows the error itself; for memory a lower "
        "--gpu-memory-utilization, --max-num-seqs or fewer sizes (--cuda-graph-sizes)",
        seen=(
            "CUDA out of memory{}during CUDA graph capture",
            "cudaErrorStreamCaptureInvalidated",
            "operation failed due to a previous error during capture",
            "operation not permitted when stream is capturing",
            "cudaErrorStreamCaptureUnsupported",
        ),
        is_symptom=True,
        sources=(VLLM_MEMORY,),
    ),
    Signature(
        id="share-out-of-range",
        blame=Blame.USAGE,
        cause="--gpu-memory-utilization is a share between 0 and 1, and {given} was given",
        remedy="write it as 0.9 for nine tenths of the GPU's memory",
        seen=("GPU memory utilization must be less than 1.0. Got {given:v}",),
        sources=(_ARGUMENTS,),
    ),
)
