"""Shared objects that are missing, of another build, or that the loader refuses."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.model.diagnoses import Blame

_GONE = ": cannot open shared object file"
_OF_CUDA = (
    "libcublas", "libcublasLt", "libcudnn", "libnvrtc", "libcusparse", "libcusparseLt", "libcusolver",
    "libcufft", "libcurand", "libnvJitLink", "libcupti", "libnccl", "libcufile", "libnvshmem_host",
    "libnvToolsExt",
)  # fmt: skip
_OF_SYSTEM = (
    ("libGL.so.1", "libgl1"), ("libgthread-2.0.so.0", "libglib2.0-0"), ("libglib-2.0.so.0", "libglib2.0-0"),
    ("libgomp.so.1", "libgomp1"), ("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
    ("libibverbs.so.1", "libibverbs1"), ("librdmacm.so.1", "librdmacm1"), ("libsndfile.so.1", "libsndfile1"),
    ("libstdc++.so.6", "libstdc++6"), ("libmpi.so.40", "libopenmpi3"), ("libxcb.so.1", "libxcb1"),
    ("libSM.so.6", "libsm6"),
)  # fmt: skip
_OF_TORCH = ("_ZN3c10", "_ZNK3c10", "_ZN2at", "_ZNK2at", "_ZN5torch", "_ZNK5torch", "_ZN4c10d", "aoti_torch")
_FOLLOWS = ("library-missing", "vllm-extension-missing", "module-missing", "name-missing")

SIGNATURES = (
    Signature(
        id="cuda-runtime-missing",
        blame=Blame.IMAGE,
        cause="an extension was built for CUDA {major}, and the environment holds the libraries of another "
        "major of CUDA[: torch is {torch}]",
        remedy="take all of one CUDA major from one lock: torch of the cu{major}x index for this vLLM, or "
        "the build of vLLM for the CUDA of this torch (https://wheels.vllm.ai/<version>/cu129 has those for "
        "CUDA 12)",
        seen=(f"libcudart.so.{{major:n}}{_GONE}", f"libcudart.so.{{major:n}}.0{_GONE}"),
        explains=_FOLLOWS,
        sources=(
            "https://github.com/vllm-project/vllm/issues/44335",
            "https://github.com/vllm-project/vllm/issues/52300",
            "https://github.com/LMCache/LMCache/pull/3298",
        ),
    ),
    Signature(
        id="cuda-library-missing",
        blame=Blame.IMAGE,
        cause="a library of CUDA that an extension needs is not in the environment",
        remedy="install PyTorch with all of its requirements (its nvidia-* packages hold these libraries) "
        "from one lock; a `pip install --no-deps`, a trimmed image, or two CUDA majors lose them",
        seen=tuple(f"{name}.so.{{number:v}}{_GONE}" for name in _OF_CUDA),
        explains=_FOLLOWS,
        sources=("https://github.com/vllm-project/vllm/issues/36099",),
    ),
    Signature(
        id="numa-library-missing",
        blame=Blame.IMAGE,
        cause="vLLM's CPU build needs libnuma.so.1, and the image has none",
        remedy="install it: `apt-get install libnuma1`, `dnf install numactl-libs`",
        seen=(f"libnuma.so.1{_GONE}",),
        explains=_FOLLOWS,
        sources=("https://docs.vllm.ai/en/latest/getting_started/installation/cpu/",),
    ),
    Signature(
        id="system-library-missing",
        blame=Blame.IMAGE,
        cause="a library of the distribution is not in the image",
        remedy="install the distribution's package of it (Debian's: "
        + ", ".join(f"{package} for {name}" for name, package in _OF_SYSTEM[:8])
        + ")",
        seen=tuple(f"{name}{_GONE}" for name, _ in _OF_SYSTEM),
        explains=_FOLLOWS,
        sources=("https://man7.org/linux/man-pages/man8/ld.so.8.html",),
    ),
    Signature(
        id="python-library-missing",
        blame=Blame.IMAGE,
        cause="the shared library of Python itself, libpython{python}, is not found",
        remedy="install libpython{python}, or take its folder into /etc/ld.so.conf.d; a Python that was "
        "copied from another image leaves it behind",
        seen=(f"libpython{{python:v}}.so.1.0{_GONE}",),
        explains=_FOLLOWS,
        sources=("https://man7.org/linux/man-pages/man8/ld.so.8.html",),
    ),
    Signature(
        id="library-missing",
        blame=Blame.IMAGE,
        cause="a shared object is not found: {library}",
        remedy="`ldd` of the file that was loaded names what it lacks: install the package that holds it, "
        "or add its folder to /etc/ld.so.conf.d and run ldconfig",
        seen=(
            f"ImportError: {{library:path}}{_GONE}",
            f"OSError: {{library:path}}{_GONE}",
            f"RuntimeError: {{library:path}}{_GONE}",
            f"error while loading shared libraries: {{library:path}}{_GONE}",
        ),
        is_symptom=True,
        sources=("https://man7.org/linux/man-pages/man8/ld.so.8.html",),
    ),
    Signature(
        id="vllm-of-other-torch",
        blame=Blame.IMAGE,
        cause="vLLM's extension was compiled for another build of PyTorch than the one that is installed[: "
        "{torch}]",
        remedy="install vLLM and the torch that it pins in one call of the resolver, and change torch no "
        "more; what was built from source is built again against the final torch (--no-build-isolation)",
        seen=(
            "/vllm/{} undefined symbol: _Z{symbol:symbol}",
            "vllm/_C{}.so: undefined symbol: {symbol:symbol}",
            "/vllm/{}.so: undefined symbol: {symbol:symbol}",
        ),
        explains=("extension-of-other-torch", *_FOLLOWS, "flash-attention-of-other-torch"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/13608",
            "https://github.com/vllm-project/vllm/issues/1344",
        ),
    ),
    Signature(
        id="flash-attention-of-other-torch",
        blame=Blame.IMAGE,
        cause="flash-attn was compiled for another torch, CUDA or C++ ABI than the environment has[: torch "
        "{torch}]",
        remedy="install the wheel of flash-attn whose name has this torch, this CUDA and this Python, and "
        "the cxx11abi that torch._C._GLIBCXX_USE_CXX11_ABI tells; torch first, and no other torch afterwards",
        seen=(
            "flash_attn_2_cuda{}.so: undefined symbol: {symbol:symbol}",
            "flash_attn_3_cuda{}.so: undefined symbol: {symbol:symbol}",
            "flash_attn_cuda{}.so: undefined symbol: {symbol:symbol}",
            "flash_attn_3{}.so: undefined symbol: {symbol:symbol}",
        ),
        explains=("extension-of-other-torch", *_FOLLOWS),
        sources=(
            "https://github.com/Dao-AILab/flash-attention/issues/1644",
            "https://github.com/Dao-AILab/flash-attention/issues/1717",
        ),
    ),
    Signature(
        id="extension-of-other-torch",
        blame=Blame.IMAGE,
        cause="an extension was compiled for another build of PyTorch than the one that is installed: "
        "{file} asks for {symbol}",
        remedy="install the build of that package for this torch[ ({torch})], or build it again; both from "
        "one lock",
        seen=tuple(f"{{file:path}}: undefined symbol: {mark}{{symbol:symbol}}" for mark in _OF_TORCH),
        explains=_FOLLOWS,
        sources=("https://github.com/instructlab/training/issues/494",),
    ),
    Signature(
        id="nvjitlink-shadowed",
        blame=Blame.IMAGE,
        cause="an older libnvJitLink of another CUDA toolkit is loaded before the one that PyTorch brings",
        remedy="unset LD_LIBRARY_PATH, or put site-packages/nvidia/nvjitlink/lib first; under a PyTorch of "
        "pip take a -base image of CUDA",
        seen=("undefined symbol: __nvJitLink{symbol:symbol}", "undefined symbol: nvJitLink{symbol:symbol}"),
        explains=_FOLLOWS,
        sources=(
            "https://github.com/pytorch/pytorch/issues/111469",
            "https://github.com/pytorch/pytorch/issues/134929",
        ),
    ),
    Signature(
        id="nccl-shadowed",
        blame=Blame.IMAGE,
        cause="another NCCL than PyTorch's is loaded: it lacks nccl{symbol}",
        remedy="keep the one nvidia-nccl package that torch pins: uninstall the other (cu12 beside cu13) "
        "and the system's, or take its folder off LD_LIBRARY_PATH",
        seen=("undefined symbol: nccl{symbol:symbol}",),
        explains=_FOLLOWS,
        sources=(
            "https://github.com/pytorch/pytorch/issues/119932",
            "https://github.com/pytorch/pytorch/issues/186591",
            "https://github.com/NVIDIA/nccl/issues/1180",
        ),
    ),
    Signature(
        id="cuda-library-shadowed",
        blame=Blame.IMAGE,
        cause="two versions of CUDA's libraries are mixed: the one that was loaded first lacks a function "
        "that another asks of it",
        remedy="unset LD_LIBRARY_PATH, and keep one version of each nvidia-* package: those that torch pins",
        seen=(
            "undefined symbol: {}, version libcu{library}.so",
            "undefined symbol: {}, version libnv{library}.so",
            "undefined symbol: cu{library}Lt",
            "undefined symbol: cudnn{library:symbol}",
            "undefined symbol: cuda{library:symbol}",
            "undefined symbol: cublas{library:symbol}",
            "undefined symbol: cusparse{library:symbol}",
            "undefined symbol: cupti{library:symbol}",
        ),
        unless=("undefined symbol: __nvJitLink",),
        explains=_FOLLOWS,
        sources=("https://github.com/infiniflow/ragflow/issues/4466",),
    ),
    Signature(
        id="driver-lacks-symbol",
        blame=Blame.HOST,
        cause="the driver's library lacks cu{symbol}: it is older than what was built against it",
        remedy="update the host's driver, or take an image for its CUDA; a libcuda of the image (compat, a "
        "stub) must not hide the host's",
        seen=(
            "undefined symbol: cuGet{symbol:symbol}",
            "undefined symbol: cuMem{symbol:symbol}",
            "undefined symbol: cuDevice{symbol:symbol}",
            "undefined symbol: cuTensorMap{symbol:symbol}",
            "undefined symbol: cuMulticast{symbol:symbol}",
            "undefined symbol: cuLaunch{symbol:symbol}",
        ),
        explains=_FOLLOWS,
        sources=("https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html",),
    ),
    Signature(
        id="mkl-too-new",
        blame=Blame.IMAGE,
        cause="conda's PyTorch stands beside an MKL that is too new for it",
        remedy='pin it: `conda install "mkl<2024.1"`, or take PyTorch from pip alone',
        seen=("undefined symbol: iJIT_NotifyEvent", "undefined symbol: iJIT_IsProfilingActive"),
        explains=_FOLLOWS,
        sources=("https://github.com/pytorch/pytorch/issues/123097",),
    ),
    Signature(
        id="glibc-too-old",
        blame=Blame.IMAGE,
        cause="the image's glibc is older than what was installed needs: GLIBC_{need}",
        remedy="take a base with glibc {need} or newer (2.31 Debian 11, 2.34 RHEL 9, 2.35 Ubuntu 22.04, "
        "2.36 Debian 12, 2.39 Ubuntu 24.04), or a release with a wheel for an older one",
        seen=("version 'GLIBC_{need:v}' not found",),
        explains=_FOLLOWS,
        sources=(
            "https://github.com/llm-d/llm-d-kv-cache/issues/445",
            "https://github.com/ai4d-iasc/trixie/issues/97",
        ),
    ),
    Signature(
        id="libstdcxx-too-old",
        blame=Blame.IMAGE,
        cause="the C++ library that is loaded is older than what was installed needs: {need}",
        remedy="let the newer one be found first: with conda `conda install -c conda-forge libstdcxx-ng` "
        "and its lib folder on LD_LIBRARY_PATH, else a newer base; an old copy beside some package may hide "
        "the system's",
        seen=("version 'GLIBCXX_{need:v}' not found", "version 'CXXABI_{need:v}' not found"),
        explains=_FOLLOWS,
        sources=("https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html",),
    ),
    Signature(
        id="torchvision-of-other-torch",
        blame=Blame.IMAGE,
        cause="torchvision was built for another PyTorch, so that its operators are not there",
        remedy="install the torchvision that belongs to this torch[ ({torch})], of the same index and CUDA, "
        "or none at all",
        seen=(
            "operator torchvision::nms does not exist",
            (
                "Couldn't load custom C++ ops. This can happen if your PyTorch and torchvision versions are "
                "incompatible"
            ),
            "PyTorch and torchvision were compiled with different CUDA major versions",
            "PyTorch and torchvision compiled with different CUDA versions",
            "Detected that PyTorch and torchaudio were compiled with different CUDA versions",
        ),
        explains=("name-missing", "module-missing"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/5736",
            "https://github.com/pytorch/vision/issues/8985",
        ),
    ),
    Signature(
        id="cudnn-shadowed",
        blame=Blame.IMAGE,
        cause="another cuDNN than PyTorch's is found first[: built against {built_with}, found {has}]",
        remedy="take it off LD_LIBRARY_PATH, or take a base image without cuDNN; keep the one nvidia-cudnn "
        "package that torch pins",
        seen=(
            "PyTorch was compiled against ({built_with:text}) but found runtime version ({has:text})",
            "cuDNN version incompatibility",
            "CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH",
            "CUDNN_STATUS_VERSION_MISMATCH",
            "Unable to load any of {libcudnn",
            "Could not load library libcudnn",
            "Invalid handle. Cannot load symbol cudnn",
        ),
        explains=("library-missing", "cuda-library-start"),
        sources=(
            "https://github.com/pytorch/pytorch/pull/80877",
            "https://github.com/pytorch/pytorch/issues/80637",
        ),
    ),
    Signature(
        id="executable-stack",
        blame=Blame.IMAGE,
        cause="{library} asks for an executable stack, which glibc 2.41 and newer (and SELinux) refuse",
        remedy="take a newer release of the package, or clear the mark: `patchelf --clear-execstack`; a "
        "base with glibc before 2.41 still loads it",
        seen=("{library:path}: cannot enable executable stack as shared object requires",),
        explains=_FOLLOWS,
        sources=(
            "https://github.com/conda-forge/pytorch-cpu-feedstock/issues/350",
            "https://github.com/NVlabs/queen/issues/2",
        ),
    ),
    Signature(
        id="static-tls",
        blame=Blame.IMAGE,
        cause="a library with thread-local storage was loaded too late: there is no static TLS left for "
        "{library}",
        remedy="load it first: LD_PRELOAD={library}, or import the package that needs it before all others",
        seen=("{library:path}: cannot allocate memory in static TLS block",),
        explains=_FOLLOWS,
        sources=("https://sourceware.org/glibc/manual/latest/html_node/Dynamic-Linking-Tunables.html",),
    ),
    Signature(
        id="mount-without-exec",
        blame=Blame.HOST,
        cause="a shared object lies on a file system from which nothing may be executed: {library}",
        remedy="mount it without noexec, or put the cache elsewhere: TRITON_CACHE_DIR, "
        "TORCHINDUCTOR_CACHE_DIR, FLASHINFER_WORKSPACE_BASE, TMPDIR",
        seen=(
            "{library:path}: failed to map segment from shared object: Operation not permitted",
            "{library:path}: failed to map segment from shared object",
        ),
        explains=_FOLLOWS,
        sources=("https://man7.org/linux/man-pages/man8/mount.8.html",),
    ),
    Signature(
        id="library-truncated",
        blame=Blame.IMAGE,
        cause="a shared object is damaged or cut off: {library}",
        remedy="install its package again; a full disk or a broken download leaves such files, and so does "
        "Git without LFS",
        seen=(
            "{library:path}: file too short",
            "{library:path}: invalid ELF header",
            "{library:path}: ELF load command past end of file",
            "{library:path}: ELF load command address/offset not properly aligned",
        ),
        explains=_FOLLOWS,
        sources=("https://man7.org/linux/man-pages/man8/ld.so.8.html",),
    ),
    Signature(
        id="page-size",
        blame=Blame.HOST,
        cause="a library was compiled for smaller pages of memory than this kernel's",
        remedy="boot a kernel with 4 KiB pages (64 KiB on some arm64 distributions, 16 KiB on Apple's "
        "machines), or take a build for large pages",
        seen=("<jemalloc>: Unsupported system page size", "Unsupported system page size"),
        sources=("https://github.com/jemalloc/jemalloc/issues/467",),
    ),
    Signature(
        id="vllm-built-in-part",
        blame=Blame.IMAGE,
        cause="vLLM's extension calls a kernel of its own ({symbol}) that was not compiled into it: it was "
        "built for a list of architectures that leaves this one out",
        remedy="build vLLM again with the GPU's architecture in TORCH_CUDA_ARCH_LIST and a CUDA that knows "
        "it, in an empty build folder; or take the released wheel",
        seen=(
            "undefined symbol: _Z20cutlass{symbol:symbol}",
            "undefined symbol: _Z{digits:n}cutlass{symbol:symbol}",
            "undefined symbol: _Z{digits:n}marlin{symbol:symbol}",
        ),
        explains=("vllm-of-other-torch", "extension-of-other-torch", *_FOLLOWS),
        sources=("https://github.com/guqiong96/Lvllm/issues/14",),
    ),
)
