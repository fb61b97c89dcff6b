"""NVIDIA's driver: not there, too old, of two versions, or it answers with an error."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature, of_cause, replace
from pipeline.compat.diagnosis.signatures.sources import CUDA_COMPATIBILITY, CUDA_ERRORS, FORWARD, TOOLKIT
from pipeline.compat.no_cuda import ANSWERS, OTHER_ANSWER
from pipeline.formats.cuda import CuResult
from pipeline.model.diagnoses import Blame

_AFTERMATH = ("no-gpu-found", "device-not-inferred", "driver-fails", "nccl-error", "broken-context")
"""What a driver that fails leads to."""

_ERROR_803 = (
    "Error 803: system has unsupported display driver",
    "cudaErrorSystemDriverMismatch",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
    "system has unsupported display driver / cuda driver combination",
)
_TWO_VERSIONS = (
    "Driver/library version mismatch",
    (
        "NVRM: API mismatch: the client has the version {client:v}, but this kernel module has the version "
        "{module:v}"
    ),
    "NVRM: API mismatch",
)
_JETSON = ("L4T R{l4t:v}", "JetPack", "Jetson", "NVIDIA Tegra", "AGX Orin", "Orin Nano", "nvgpu")

SIGNATURES = (
    replace(
        of_cause(
            ANSWERS[CuResult.SYSTEM_NOT_READY],
            seen=(
                "Error 802: system not yet initialized",
                "cudaErrorSystemNotReady",
                "CUDA_ERROR_SYSTEM_NOT_READY",
                "system not yet initialized",
                "fabric manager never reported Completed",
                "Fabric Manager is not running",
                "Fabric State : In Progress",
                "Fabric State: In Progress",
                "nvidia-fabricmanager.service: Failed with result",
            ),
            sources=(
                "https://github.com/MiniMax-AI/MiniMax-M2.5/issues/9",
                "https://github.com/gpustack/gpustack/issues/4154",
                "https://github.com/pytorch/pytorch/issues/35710",
            ),
            explains=(*_AFTERMATH, "driver-too-old"),
        ),
        contradicts="nvidia-smi looks healthy meanwhile, and nothing is wrong with the driver's version",
        decides="on a machine without NVSwitch it is the kernel's HMM instead: load nvidia_uvm with "
        "uvm_disable_hmm=1 (https://github.com/wilicc/gpu-burn/issues/133)",
    ),
    Signature(
        id="driver-shadowed",
        blame=Blame.IMAGE,
        cause="a libcuda of the image itself, cuda-compat's, hides the one of the host's driver[ {driver}]",
        remedy="take /usr/local/cuda/compat off LD_LIBRARY_PATH and /etc/ld.so.conf.d of the image and run "
        "ldconfig, or put the driver's folder (/usr/local/nvidia/lib64, where it is mounted there) first",
        seen=_ERROR_803,
        needs=(("/compat/libcuda.so", "/compat:", "cuda-compat", "/cuda/compat", "/compat "),),
        unless=_TWO_VERSIONS,
        explains=(*_AFTERMATH, "driver-mismatch", "compat-or-mismatch", "driver-too-old"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/33447",
            "https://github.com/gpustack/gpustack/issues/4678",
            "https://github.com/llm-d/llm-d/issues/706",
        ),
    ),
    Signature(
        id="compat-or-mismatch",
        blame=Blame.IMAGE,
        cause="the libcuda that was loaded is of another version than the kernel's module: most often a "
        "cuda-compat library inside the image that hides the host's[ {driver}]",
        remedy="take /usr/local/cuda/compat off LD_LIBRARY_PATH and /etc/ld.so.conf.d of the image and run "
        "ldconfig",
        seen=_ERROR_803,
        unless=_TWO_VERSIONS,
        decides="`ldconfig -p | grep libcuda.so.1` in the container names a folder `compat`: then it is the "
        "image; `nvidia-smi` fails on the host: then its driver was updated without a reboot",
        explains=(*_AFTERMATH, "driver-too-old"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/33447",
            "https://github.com/NVIDIA/nvidia-docker/issues/1256",
        ),
    ),
    replace(
        of_cause(
            ANSWERS[CuResult.SYSTEM_DRIVER_MISMATCH],
            seen=(*_TWO_VERSIONS, *_ERROR_803),
            sources=(
                "https://github.com/NVIDIA/nvidia-docker/issues/584",
                "https://github.com/oddmario/NVIDIA-Ubuntu-Driver-Guide/issues/4",
            ),
            explains=(*_AFTERMATH, "driver-too-old", "driver-not-loaded"),
        ),
        decides="`nvidia-smi` on the host fails with the same words",
    ),
    of_cause(
        ANSWERS[CuResult.COMPAT_NOT_SUPPORTED],
        seen=(
            "forward compatibility was attempted on non supported HW",
            "cudaErrorCompatNotSupportedOnDevice",
            "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
        ),
        sources=(FORWARD, "https://github.com/NVIDIA/nvidia-docker/issues/1294"),
        explains=(*_AFTERMATH, "driver-too-old"),
    ),
    of_cause(
        ANSWERS[CuResult.UNKNOWN],
        seen=(
            "CUDA unknown error - this may be due to an incorrectly set up environment",
            "CUDA_ERROR_UNKNOWN",
            "Error 999: unknown error",
            "cudaErrorUnknown",
        ),
        sources=(
            "https://github.com/pytorch/pytorch/issues/49081",
            "https://github.com/replicate/cog-svd/issues/11",
        ),
        explains=("no-gpu-found", "device-not-inferred", "driver-fails", "nccl-error"),
    ),
    Signature(
        id="driver-too-old",
        blame=Blame.HOST,
        cause="the host's driver[ {driver}] is older than PyTorch's CUDA[ {built}] needs[: it serves CUDA "
        "up to {found}]",
        remedy="update the host's driver[ to {floor} or newer], or take an image for the CUDA that this "
        "driver serves[ ({found})]; on data-centre GPUs cuda-compat may stand in",
        seen=(
            "driver on your system is too old (found version {found:cuda})",
            "CUDA driver version is insufficient for CUDA runtime version",
            "cudaErrorInsufficientDriver",
            "the provided driver is too old",
            "CUDA driver is too old",
        ),
        explains=("no-gpu-found", "device-not-inferred", "driver-fails", "nccl-error", "torch-sees-no-cuda"),
        sources=("https://github.com/pytorch/pytorch/issues/25581", CUDA_COMPATIBILITY),
    ),
    Signature(
        id="driver-of-jetson",
        blame=Blame.IMAGE,
        cause="the image asks for CUDA {wanted} and this Jetson's driver[ {driver}] serves less[: {has}]; "
        "there the driver comes with JetPack and cannot be updated alone",
        remedy="take an image that is made for this JetPack and its CUDA[ {has}], or update to a JetPack "
        "with CUDA {wanted}; NVIDIA_DISABLE_REQUIRE would only move the failure: servers' images hold no "
        "code for sm_87",
        seen=(
            "unsatisfied condition: cuda>={wanted:v} (cuda={has:v})",
            "unsatisfied condition: cuda>={wanted:v}",
        ),
        needs=(_JETSON,),
        explains=("driver-refused", "driver-too-old"),
        sources=("https://github.com/NVIDIA-AI-IOT/jetson-ai-lab/issues/421",),
    ),
    Signature(
        id="driver-refused",
        blame=Blame.HOST,
        cause="the container was not started: its image asks for a driver that serves CUDA {wanted}, and "
        "the host's[ {driver}] serves less[: {has}]",
        remedy="update the host's driver, or take an image for an older CUDA; NVIDIA_DISABLE_REQUIRE=1 "
        "helps where the driver is of the same CUDA major, as the image then runs by minor-version "
        "compatibility",
        seen=(
            "unsatisfied condition: cuda>={wanted:v} (cuda={has:v})",
            "unsatisfied condition: cuda>={wanted:v}",
            "unsatisfied condition: cuda >= {wanted:v}",
        ),
        explains=("driver-too-old",),
        sources=(
            "https://github.com/NVIDIA/nvidia-container-toolkit/issues/152",
            "https://github.com/theroyallab/tabbyAPI/issues/324",
        ),
    ),
    Signature(
        id="gpu-refused",
        blame=Blame.HOST,
        cause="the container was not started: its image asks for what this GPU or driver is not ({wanted})",
        remedy="take an image for this GPU, or unset NVIDIA_REQUIRE_… of the image if its demand is known "
        "to be too strict",
        seen=(
            "unsatisfied condition: brand = {wanted:text}",
            "unsatisfied condition: driver >= {wanted:text}",
            "unsatisfied condition: arch >= {wanted:text}",
            "unsatisfied condition: driver>={wanted:text}",
        ),
        sources=("https://github.com/NVIDIA/nvidia-container-toolkit/issues/152", TOOLKIT),
    ),
    Signature(
        id="driver-not-loaded",
        blame=Blame.HOST,
        cause="the host has no NVIDIA driver that runs: its kernel module is not loaded, or none is "
        "installed",
        remedy="make `nvidia-smi` answer on the host first: install the driver, `modprobe nvidia`, or "
        "reboot after an update of driver or kernel; what needs no GPU is started without --gpus",
        seen=(
            "nvml error: driver not loaded",
            "nvml error: unable to load the nvml library",
            "nvidia-container-cli: detection error: nvml error",
            "nvidia-container-cli: initialization error: driver rpc error",
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver",
            "load library failed: libnvidia-ml.so.1: cannot open shared object file",
            "Failed to initialize NVML: Driver Not Loaded",
            "NVMLError_DriverNotLoaded",
            "modprobe: FATAL: Module nvidia not found",
            "nvidia-container-cli: initialization error: cuda error",
        ),
        explains=("no-gpu-given", "no-gpu-found", "device-not-inferred"),
        sources=(
            "https://github.com/NVIDIA/nvidia-container-toolkit/issues/1269",
            "https://github.com/NVIDIA/nvidia-docker/issues/1393",
        ),
    ),
    Signature(
        id="mps-fails",
        blame=Blame.HOST,
        cause="processes share this GPU by NVIDIA's MPS, and its server does not answer",
        remedy="on the host: start `nvidia-cuda-mps-control -d` anew, give the container its pipe folder "
        "(CUDA_MPS_PIPE_DIRECTORY) and --ipc=host; or unset that variable to do without MPS",
        seen=(
            "Error 805: MPS client failed to connect",
            "Error 806: MPS client",
            "Error 807: MPS",
            "MPS client failed to connect to the MPS control daemon or the MPS server",
            "the MPS server is not ready to accept new MPS client requests",
            "cudaErrorMpsConnectionFailed",
            "CUDA_ERROR_MPS_CONNECTION_FAILED",
            "CUDA_ERROR_MPS_SERVER_NOT_READY",
        ),
        explains=_AFTERMATH,
        sources=(CUDA_ERRORS,),
    ),
    Signature(
        id="stub-library",
        blame=Blame.IMAGE,
        cause="a stub of libcuda, which is for linking only, was loaded in place of the driver's",
        remedy="take …/lib64/stubs off LD_LIBRARY_PATH and /etc/ld.so.conf.d of the image; at build time it "
        "belongs in LIBRARY_PATH",
        seen=(
            "CUDA_ERROR_STUB_LIBRARY",
            "cudaErrorStubLibrary",
            "CUDA driver is a stub library",
        ),
        explains=_AFTERMATH,
        sources=(CUDA_ERRORS,),
    ),
    Signature(
        id="gpu-busy",
        blame=Blame.HOST,
        cause="the GPU takes no further process: it is in exclusive mode and in use, or was left in a bad "
        "state",
        remedy="on the host: `nvidia-smi -q -d COMPUTE` (set it to DEFAULT by `nvidia-smi -c 0`), end what "
        "`nvidia-smi` lists, else reset the GPU; with MIG name an instance",
        seen=(
            "all CUDA-capable devices are busy or unavailable",
            "CUDA-capable device(s) is/are busy or unavailable",
            "cudaErrorDevicesUnavailable",
            "CUDA_ERROR_DEVICE_UNAVAILABLE",
        ),
        explains=("broken-context", "nccl-error"),
        sources=(CUDA_ERRORS,),
    ),
    Signature(
        id="driver-fails",
        blame=Blame.HOST,
        cause=f"{OTHER_ANSWER.what}: it answers {{code}}",
        remedy=OTHER_ANSWER.hint,
        seen=(
            "Unexpected error from cudaGetDeviceCount(). {} Error {code:n}:",
            "cudaGetDeviceCount() returned {code:n}",
            "CUDA initialization: Unexpected error {} Error {code:n}:",
            "cuInit failed with error code {code:n}",
            "cuInit() failed: {code:n}",
        ),
        is_symptom=True,
        sources=(CUDA_ERRORS,),
    ),
)
