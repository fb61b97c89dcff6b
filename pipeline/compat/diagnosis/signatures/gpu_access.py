"""How a container or process gets its GPUs: engine, runtime, CDI, Kubernetes, variables that choose."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import KUBERNETES, TOOLKIT, VLLM
from pipeline.compat.no_cuda import GIVE_GPU
from pipeline.model.diagnoses import Blame

_NO_DEVICE = (
    "No CUDA GPUs are available",
    "no CUDA-capable device is detected",
    "CUDA_ERROR_NO_DEVICE",
    "cudaErrorNoDevice",
)

SIGNATURES = (
    Signature(
        id="no-toolkit",
        blame=Blame.HOST,
        cause="Docker knows no way to give a container a GPU: NVIDIA's container toolkit is not installed "
        "or not configured",
        remedy="on the host: install nvidia-container-toolkit, `nvidia-ctk runtime configure "
        "--runtime=docker`, restart Docker; Docker as a snap cannot use it",
        seen=(
            "could not select device driver {} with capabilities: [[gpu",
            "could not select device driver {} with capabilities: [[",
            "unknown or invalid runtime name: nvidia",
            "Unknown runtime specified nvidia",
            "no runtime for {} is configured",
            "nvidia-container-runtime: executable file not found",
            "nvidia-container-runtime-hook: no such file or directory",
            "unknown runtime handler {}nvidia",
        ),
        sources=(
            "https://github.com/NVIDIA/nvidia-docker/issues/1034",
            "https://github.com/NVIDIA/nvidia-container-toolkit/issues/871",
        ),
    ),
    Signature(
        id="cdi-unresolvable",
        blame=Blame.HOST,
        cause="the engine was asked for the CDI device {device}, and no CDI specification on the host has it",
        remedy="on the host: `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`, again after each "
        "update of the driver; `nvidia-ctk cdi list` shows what there is; a rootless engine may read "
        "another folder (--cdi-spec-dir)",
        seen=(
            "unresolvable CDI devices {device:path}",
            "unresolvable CDI device {device:path}",
            "failed to stat CDI host device {device:path}",
        ),
        sources=(
            "https://github.com/NVIDIA/nvidia-container-toolkit/issues/434",
            "https://github.com/NVIDIA/nvidia-container-toolkit/issues/1537",
            "https://github.com/NixOS/nixpkgs/issues/420638",
        ),
    ),
    Signature(
        id="device-cgroup",
        blame=Blame.HOST,
        cause="the container toolkit may not give the container access to the GPU's files: its cgroup is "
        "not writable",
        remedy="for a rootless engine set no-cgroups = true in /etc/nvidia-container-runtime/config.toml, "
        "or use CDI (`--device nvidia.com/gpu=all`)",
        seen=(
            "nvidia-container-cli: mount error: failed to add device rules",
            "bpf_prog_query(BPF_CGROUP_DEVICE) failed",
            "nvidia-container-cli: container error: cgroup subsystem devices not found",
            "nvidia-container-cli: container error: failed to get device cgroup",
        ),
        sources=(TOOLKIT,),
    ),
    Signature(
        id="driver-files-in-image",
        blame=Blame.IMAGE,
        cause="the image itself holds files of NVIDIA's driver, where the toolkit has to put the host's: "
        "{file}",
        remedy="remove libcuda.so*, libnvidia-*.so* and nvidia-smi from the image: it was committed from a "
        "running container, or a driver was installed in it",
        seen=(
            "nvidia-container-cli: mount error: file creation failed: {file:path}: file exists",
            "nvidia-container-cli: mount error: file creation failed: {file:path}",
        ),
        sources=(TOOLKIT,),
    ),
    Signature(
        id="toolkit-ldconfig",
        blame=Blame.HOST,
        cause="the container toolkit is configured for another distribution: it cannot run the host's "
        "ldconfig",
        remedy="set ldconfig in /etc/nvidia-container-runtime/config.toml to this host's "
        "(`@/sbin/ldconfig`), or generate that file anew by `nvidia-ctk config`",
        seen=(
            "nvidia-container-cli: ldcache error",
            "nvidia-container-cli: initialization error: open failed: /sbin/ldconfig.real",
        ),
        sources=(TOOLKIT,),
    ),
    Signature(
        id="gpu-lost-in-container",
        blame=Blame.HOST,
        cause="the container lost its GPU while it ran: systemd reloaded its units and took back the access "
        "to the device",
        remedy="start the container again; to keep it from happening use CDI, give the device files by "
        "--device, or the cgroupfs driver",
        seen=("Failed to initialize NVML: Unknown Error", "NVMLError_Unknown: Unknown Error"),
        sources=(
            "https://github.com/NVIDIA/nvidia-container-toolkit/issues/48",
            "https://github.com/NVIDIA/nvidia-container-toolkit/issues/251",
        ),
        explains=("no-gpu-found", "device-not-inferred", "broken-context"),
    ),
    Signature(
        id="nvml-permission",
        blame=Blame.HOST,
        cause="the process may not open the GPU's files: permissions of /dev/nvidia*, or SELinux",
        remedy="look at `ls -lZ /dev/nvidia*` in the container: give the user the group of these files, or "
        "label the container for them (`--security-opt label=type:nvidia_container_t`, or label=disable)",
        seen=("Failed to initialize NVML: Insufficient Permissions", "NVMLError_NoPermission"),
        sources=(TOOLKIT,),
        explains=("no-gpu-found", "device-not-inferred"),
    ),
    Signature(
        id="no-gpu-given",
        blame=Blame.HOST,
        cause="there is no driver where this runs: no GPU was given to the container, or the machine has "
        "none",
        remedy=f"{GIVE_GPU}, in Kubernetes with a limit of nvidia.com/gpu; on the host `nvidia-smi` must "
        f"answer. A build "
        "has no GPU: import no CUDA extension there",
        seen=(
            "Found no NVIDIA driver on your system",
            "libcuda.so.1: cannot open shared object file",
            "NVML Shared Library Not Found",
            "NVMLError_LibraryNotFound",
            "The NVIDIA Driver was not detected. GPU functionality will not be available",
            "WSL environment detected but no adapters were found",
        ),
        explains=(
            "no-gpu-found",
            "device-not-inferred",
            "library-missing",
            "torch-sees-no-cuda",
            "vllm-extension-missing",
        ),
        may_pass=True,
        sources=(
            "https://github.com/abetlen/llama-cpp-python/issues/1169",
            "https://github.com/vllm-project/vllm/issues/13946",
        ),
    ),
    Signature(
        id="gpus-hidden",
        blame=Blame.USAGE,
        cause="CUDA_VISIBLE_DEVICES is set so that the process sees no GPU",
        remedy="unset CUDA_VISIBLE_DEVICES; which GPUs a container has is said when it starts",
        seen=(
            "CUDA_VISIBLE_DEVICES=-1",
            "CUDA_VISIBLE_DEVICES=NoDevFiles",
            "NVIDIA_VISIBLE_DEVICES=void",
            "NVIDIA_VISIBLE_DEVICES=none",
            "CUDA_VISIBLE_DEVICES='' ",
        ),
        needs=((*_NO_DEVICE, "Failed to infer device type"),),
        explains=("no-gpu-found", "device-not-inferred"),
        sources=(VLLM, "https://github.com/vllm-project/vllm/issues/12847"),
    ),
    Signature(
        id="no-gpu-found",
        blame=Blame.HOST,
        cause="the driver is there and shows this process no GPU",
        remedy=f"{GIVE_GPU}; unset CUDA_VISIBLE_DEVICES; on the host `nvidia-smi -L`: MIG without an "
        f"instance, or a GPU "
        "that fell off the bus",
        seen=_NO_DEVICE,
        is_symptom=True,
        decides="`ls /dev/nvidia*` in the container: no nvidia0 means that none was given",
        sources=("https://github.com/vllm-project/vllm/issues/12847",),
        explains=("device-not-inferred",),
    ),
    Signature(
        id="device-not-inferred",
        blame=Blame.HOST,
        cause="vLLM found no platform to run on: a CUDA build that sees no GPU, or a CPU build that it does "
        "not know as one",
        remedy=f"for a CUDA build: {GIVE_GPU}; for a CPU build set VLLM_TARGET_DEVICE=cpu",
        seen=(
            "Failed to infer device type",
            "No platform detected, vLLM is running on UnspecifiedPlatform",
            "Device string must not be empty",
        ),
        is_symptom=True,
        decides="VLLM_LOGGING_LEVEL=DEBUG shows what each platform answered",
        sources=(
            "https://github.com/vllm-project/vllm/issues/12847",
            "https://github.com/vllm-project/vllm/issues/13946",
        ),
    ),
    Signature(
        id="device-by-uuid",
        blame=Blame.USAGE,
        cause="CUDA_VISIBLE_DEVICES names a device by its UUID ({device}…), which this vLLM[ {vllm}] reads "
        "as a number",
        remedy="choose the device where the container starts (`--gpus device={device}-…`, or the device "
        "plugin) and unset CUDA_VISIBLE_DEVICES or set it to 0; or take a vLLM with the change of pull "
        "request 46132",
        seen=(
            "invalid literal for int() with base 10: '{device:symbol}-",
            "invalid literal for int() with base 10: 'MIG-{device}",
        ),
        needs=(("base 10: 'MIG-", "base 10: 'GPU-"),),
        contradicts="'Model architectures … failed to be inspected' is not about the model: its inspection "
        "runs into this",
        sources=(
            "https://github.com/vllm-project/vllm/issues/41848",
            "https://github.com/vllm-project/vllm/issues/20939",
            "https://github.com/vllm-project/vllm/pull/46132",
        ),
    ),
    Signature(
        id="device-number",
        blame=Blame.USAGE,
        cause="a process asked for a GPU by a number that it does not see: more ranks than GPUs, or a wrong "
        "choice of them",
        remedy="tensor x pipeline parallel size must not exceed the visible GPUs of a node; look at "
        "CUDA_VISIBLE_DEVICES, --gpus device=, LOCAL_RANK",
        seen=(
            "CUDA error: invalid device ordinal",
            "cudaErrorInvalidDevice",
            "CUDA_ERROR_INVALID_DEVICE",
            "Error 101: invalid device ordinal",
            "is out of bounds for {n:n} devices",
            "Invalid device id",
        ),
        explains=("broken-context", "nccl-error", "driver-fails"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/16456",
            "https://github.com/vllm-project/vllm/issues/22677",
        ),
    ),
    Signature(
        id="too-few-gpus",
        blame=Blame.USAGE,
        cause="more GPUs are asked for than there are[: {want} for {have}]",
        remedy="lower --tensor-parallel-size (and pipeline and data parallel sizes), give the container all "
        "GPUs, or start Ray on further nodes with --distributed-executor-backend ray",
        seen=(
            "World size ({want:n}) is larger than the number of available GPUs ({have:n})",
            "The number of required GPUs exceeds the total number of available GPUs",
            "required GPUs exceeds the total number of available GPUs in the placement group",
            "Current node has no GPU available",
            "Cannot provide a placement group of",
        ),
        sources=(VLLM, "https://github.com/vllm-project/vllm/issues/1016"),
        explains=("device-number",),
    ),
    Signature(
        id="no-gpu-in-cluster",
        blame=Blame.HOST,
        cause="no node of the cluster has as many free GPUs as the pod asks for",
        remedy="`kubectl describe nodes | grep nvidia.com/gpu`: 0 allocatable means that the device plugin "
        "or the driver of the node fails; else wait, lower the limit, or let the pod tolerate the GPU "
        "nodes' taints",
        seen=(
            "Insufficient nvidia.com/gpu",
            "Insufficient nvidia.com/mig-{profile:path}",
            "requested number of devices unavailable for nvidia.com/gpu",
            "Allocate failed due to {} nvidia.com/gpu",
        ),
        sources=(KUBERNETES,),
    ),
)
