"""Knowledge that is not in the files: what the host provides, what is loaded first, and what may be missing.

Each row has its source. A row can only make a finding milder, or say which libraries must have device code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class KnownLibrary:
    """A glob on absolute paths, what is known about the libraries that match, and the source of that."""

    glob: str
    reason: str
    source: str


def matching(rows: tuple[KnownLibrary, ...], path: str) -> KnownLibrary | None:
    """The first row whose glob matches this path."""
    return next((row for row in rows if fnmatchcase(path, row.glob)), None)


# -- the host's driver ------------------------------------------------------------------------------

DRIVER: dict[str, str] = {
    "libcuda.so.1": "cu",
    "libcudadebugger.so.1": "",
    "libnvidia-ml.so.1": "nvml",
    "libnvidia-cfg.so.1": "nvCfg",
    "libnvidia-nscq.so.2": "nscq",
    "libnvidia-nvvm.so.4": "nvvm",
    "libnvidia-nvvm70.so.4": "nvvm",
    "libnvidia-opencl.so.1": "",
    "libnvidia-ptxjitcompiler.so.1": "",
    "libnvidia-gpucomp.so": "",
    "libnvidia-pkcs11.so": "",
    "libnvidia-pkcs11-openssl3.so": "",
    "libnvidia-sandboxutils.so.1": "nvSandbox",
    "libnvidia-encode.so.1": "Nv",
    "libnvidia-opticalflow.so.1": "Nv",
    "libnvcuvid.so.1": "cuvid",
    "libvdpau_nvidia.so.1": "vdp",
    "libEGL_nvidia.so.0": "",
    "libGLX_nvidia.so.0": "",
    "libnvidia-ngx.so.1": "",
    "libnvoptix.so.1": "",
    "libnvidia-fbc.so.1": "NvFBC",
}
"""Libraries of the driver: soname, and the prefix of its symbols. NVIDIA's container toolkit mounts the
host's own into the container; an image must not contain them. Source:
https://github.com/NVIDIA/libnvidia-container/blob/main/src/nvc_info.c: utility_libs, compute_libs,
video_libs, graphics_libs, ngx_libs."""


def is_drivers(soname: str) -> bool:
    """Whether the host's driver provides it."""
    return soname in DRIVER


# -- what is loaded first ---------------------------------------------------------------------

TORCH_FIRST = frozenset({"vllm", "tilelang", "torchaudio", "torchvision"})
"""Top-level packages that import torch before they open a library of theirs, so that all libraries of torch
are loaded by then: vllm/env_override.py, and the others' ``__init__.py``. What links a library of torch can
only be loaded after torch, and needs no entry."""

TORCH_LOADS = ("torch/_C.*.so", "torch/lib/libtorch_global_deps.so")
"""What ``import torch`` loads: the second first and with RTLD_GLOBAL, then the first, which loads the rest.
Source: torch/__init__.py, ``_load_global_deps``."""

TORCH_SONAMES = frozenset(
    {
        "libc10.so",
        "libc10_cuda.so",
        "libtorch.so",
        "libtorch_cpu.so",
        "libtorch_cuda.so",
        "libtorch_cuda_linalg.so",
        "libtorch_python.so",
        "libshm.so",
    }
)
"""PyTorch's own libraries; what links one of them is compiled against one PyTorch."""

_TORCHS_SYMBOL = re.compile(r"_Z(?:T[VTIS])?N[rVK]*[RO]?(?:2at|3c10|5torch)|aoti_torch_|torch_")
"""The namespaces of PyTorch in a mangled name (qualifiers of the member function come first), and its C API:
https://itanium-cxx-abi.github.io/cxx-abi/abi.html#mangling-structure."""


def is_torchs_symbol(name: str) -> bool:
    """Whether it is PyTorch that defines a symbol of this name."""
    return _TORCHS_SYMBOL.match(name) is not None


# -- what may be missing ----------------------------------------------------------------------------

_MAN_NVSHMEM = "https://docs.nvidia.com/nvshmem/api/gen/env.html: NVSHMEM_REMOTE_TRANSPORT, NVSHMEM_BOOTSTRAP"

_PYTHON = "https://docs.python.org/3/using/configure.html#options-for-third-party-dependencies"

OPTIONAL_MODULES: tuple[KnownLibrary, ...] = (
    KnownLibrary("*/lib-dynload/_bz2.*", "Python's module bz2 needs it, which some packages import", _PYTHON),
    KnownLibrary(
        "*/lib-dynload/_lzma.*", "Python's module lzma needs it, which some packages import", _PYTHON
    ),
    KnownLibrary(
        "*/lib-dynload/_zstd.*", "Python's module zstd needs it, which some packages import", _PYTHON
    ),
    KnownLibrary(
        "*/lib-dynload/_sqlite3.*", "Python's module sqlite3 needs it, which some packages import", _PYTHON
    ),
)
"""Modules of the standard library that a Python can be built without, and that packages import when they are
used: without its library one of them is a warning. ``_ssl`` and ``_ctypes`` are not among them: servers and
PyTorch import them at once."""

PLUGINS: tuple[KnownLibrary, ...] = (
    *(
        KnownLibrary(
            f"*/lib-dynload/{module}.*", "a module of Python's that no server imports", f"{_PYTHON}: {what}"
        )
        for module, what in {
            "nis": "of the removed module nis",
            "ossaudiodev": "of the removed module ossaudiodev",
            "spwd": "of the removed module spwd",
            "_crypt": "of the removed module crypt",
            "readline": "edits lines at a terminal",
            "_curses": "draws in a terminal",
            "_curses_panel": "draws in a terminal",
            "_uuid": "uuid does without it",
        }.items()
    ),
    KnownLibrary(
        "*/lib-dynload/_tkinter.*",
        "Tk draws windows, which no server opens",
        "https://github.com/docker-library/python: slim variants leave libtk out on purpose",
    ),
    KnownLibrary(
        "*/nvshmem_transport_*.so*", "NVSHMEM opens the transport that its configuration names", _MAN_NVSHMEM
    ),
    KnownLibrary(
        "*/nvshmem_bootstrap_*.so*", "NVSHMEM opens the bootstrap that its configuration names", _MAN_NVSHMEM
    ),
    KnownLibrary(
        "*/libcufile_rdma.so*",
        "cuFile opens it if storage is reached over RDMA",
        "https://docs.nvidia.com/gpudirect-storage/configuration-guide: libcufile_rdma",
    ),
    KnownLibrary(
        "*/libnccl-net*.so*",
        "NCCL opens it if NCCL_NET_PLUGIN names it",
        "https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html: NCCL_NET_PLUGIN",
    ),
    KnownLibrary(
        "*/openmpi*/mca_*.so",
        "Open MPI opens the components whose libraries are installed",
        "https://docs.open-mpi.org/en/main/mca.html",
    ),
    KnownLibrary(
        "*/ucx/libuc[tmx]_*.so*",
        "UCX opens the transports whose libraries are installed",
        "https://openucx.readthedocs.io/en/master/faq.html",
    ),
    KnownLibrary(
        "*/nixl*/plugins/*.so",
        "NIXL opens the backend that its configuration names",
        "https://github.com/ai-dynamo/nixl/blob/main/docs/BackendGuide.md",
    ),
    KnownLibrary(
        "*/torchaudio/lib/*sox*.so",
        "torchaudio opens the backends whose libraries are installed",
        "https://docs.pytorch.org/audio/stable/torchaudio.html",
    ),
    KnownLibrary(
        "*/qt/plugins/*", "Qt opens a plugin when a window is shown", "https://doc.qt.io/qt-5/qpa.html"
    ),
    KnownLibrary(
        "*/onnxruntime/capi/libonnxruntime_providers_*.so",
        "ONNX Runtime opens the execution providers that it is asked for",
        "https://onnxruntime.ai/docs/execution-providers/",
    ),
    KnownLibrary(
        "*/cupy*/*.so",
        "CuPy opens optional libraries (cuTENSOR, cuSPARSELt, NCCL) if they are installed",
        "https://docs.cupy.dev/en/stable/install.html: additional CUDA libraries",
    ),
    KnownLibrary(
        "*/triton/backends/amd/*",
        "Triton's part for AMD's GPUs",
        "https://github.com/triton-lang/triton: third_party/amd",
    ),
    KnownLibrary(
        "*/cuda/core/*/_tensor_bridge.*",
        "cuda.core imports it for torch's tensors only, once it has made torch's symbols global",
        "cuda/core/_include/aoti_shim.h in its wheel",
    ),
    KnownLibrary("*/gconv/*.so", "the C library opens converters by name", "iconv(3)"),
)
"""Objects that their program opens only if it needs them, and can do without."""

# -- what must have device code ---------------------------------------------------------------------

_VLLM_KERNELS = "https://github.com/vllm-project/vllm/blob/main/CMakeLists.txt"

CORE: tuple[KnownLibrary, ...] = (
    KnownLibrary(
        "*/torch/lib/libtorch_cuda.so",
        "every operation of PyTorch on a GPU",
        "https://github.com/pytorch/pytorch/blob/main/caffe2/CMakeLists.txt: torch_cuda",
    ),
    KnownLibrary("*/vllm/_C.*so", "vLLM's kernels that every model runs", f"{_VLLM_KERNELS}: _C"),
    KnownLibrary(
        "*/vllm/_C_stable_libtorch.*so",
        "vLLM's kernels that every model runs",
        f"{_VLLM_KERNELS}: _C_stable_libtorch",
    ),
)
"""The libraries that every model runs: a GPU that one of them does not reach cannot be used."""

KERNELS: tuple[KnownLibrary, ...] = (
    *CORE,
    KnownLibrary("*/vllm/_moe_C*.so", "vLLM's kernels for mixtures of experts", f"{_VLLM_KERNELS}: _moe_C"),
    KnownLibrary(
        "*/vllm/vllm_flash_attn/_vllm_fa*_C*.so", "vLLM's FlashAttention", f"{_VLLM_KERNELS}: vllm-flash-attn"
    ),
    KnownLibrary("*/vllm/_flashmla_*C*.so", "vLLM's FlashMLA", f"{_VLLM_KERNELS}: flashmla"),
    KnownLibrary("*/vllm/_qutlass_C*.so", "vLLM's QuTLASS", f"{_VLLM_KERNELS}: qutlass"),
    KnownLibrary(
        "*/flash_attn_2_cuda*.so",
        "FlashAttention 2",
        "https://github.com/Dao-AILab/flash-attention: setup.py",
    ),
    KnownLibrary(
        "*/flash_attn_3/_C*.so",
        "FlashAttention 3",
        "https://github.com/Dao-AILab/flash-attention: hopper/setup.py",
    ),
    KnownLibrary("*/xformers/_C*.so", "xFormers", "https://github.com/facebookresearch/xformers: setup.py"),
    KnownLibrary(
        "*/sgl_kernel/*common_ops*.so",
        "SGLang's kernels",
        "https://github.com/sgl-project/sglang: sgl-kernel",
    ),
    KnownLibrary(
        "*/causal_conv1d_cuda*.so",
        "causal convolutions",
        "https://github.com/Dao-AILab/causal-conv1d: setup.py",
    ),
    KnownLibrary(
        "*/selective_scan_cuda*.so", "Mamba's scan", "https://github.com/state-spaces/mamba: setup.py"
    ),
)
"""Libraries that are useless without device code. One built on a machine without a GPU can be empty:
https://github.com/vllm-project/vllm/issues/21768."""

JIT_LINKED: tuple[KnownLibrary, ...] = (
    KnownLibrary(
        "*/libcufft*.so*",
        "it links its kernels at run time",
        "https://docs.nvidia.com/cuda/cufft/: JIT LTO kernels, which are not in .nv_fatbin",
    ),
)
"""Libraries whose code for a GPU is not in their .nv_fatbin, so that its content means nothing."""

# -- CUDA's own names -------------------------------------------------------------------------------

_CUDA_LIBRARIES = {
    "libcudart.so": {"11.0": "11", "12": "12", "13": "13"},
    "libcublas.so": {"11": "11", "12": "12", "13": "13"},
    "libcublasLt.so": {"11": "11", "12": "12", "13": "13"},
    "libnvrtc.so": {"11.2": "11", "12": "12", "13": "13"},
    "libnvJitLink.so": {"12": "12", "13": "13"},
    "libcufft.so": {"10": "11", "11": "12", "12": "13"},
    "libnppc.so": {"11": "11", "12": "12", "13": "13"},
}
"""Libraries whose soname gives CUDA's major: soname's number to major. libcufft counts differently from CUDA.
cuSPARSE, cuSOLVER and cuRAND have kept a number across a major, so theirs do not.
Source: the components' own sonames in NVIDIA's wheels of CUDA 11.8, 12.9 and 13.0."""


def cuda_major(soname: str) -> str | None:
    """The CUDA major that a library of this soname belongs to; None if the name does not say."""
    stem, so, number = soname.partition(".so.")
    return _CUDA_LIBRARIES.get(f"{stem}.so", {}).get(number) if so else None


CUDA_FAMILY = (
    "libcudart.so*",
    "libcublas.so*",
    "libcublasLt.so*",
    "libcudnn.so*",
    "libcufft.so*",
    "libcurand.so*",
    "libcusolver.so*",
    "libcusparse.so*",
    "libnccl.so*",
    "libnvrtc.so*",
    "libnvJitLink.so*",
)
"""Sonames of CUDA's libraries of which a process must load only one copy."""

COMPONENTS: dict[str, str] = {
    "nvidia-cuda-runtime": "the runtime",
    "nvidia-cuda-nvcc": "nvcc",
    "nvidia-nvvm": "NVVM",
    "nvidia-cuda-nvrtc": "NVRTC",
    "nvidia-nvjitlink": "nvJitLink",
    "nvidia-cuda-crt": "nvcc's headers",
    "nvidia-cuda-cccl": "CCCL",
    "cuda-bindings": "the Python bindings",
}
"""Distributions whose version begins with that of the toolkit, and what they are, without suffixes such as
``-cu12``."""

COMPILERS = ("nvcc", "NVVM", "NVRTC")
"""The components that compile PTX, which needs a driver at least as new as their toolkit."""

BINDINGS = ("the Python bindings",)
"""The components that look up functions by name, so that a newer minor is no fault by itself. PyTorch
asks for ``cuda-bindings>=13.0.3,<14``, and gets the newest (METADATA of torch 2.12.0)."""
