"""What is compiled when a server starts, or an extension is built: compilers, headers, libraries to link."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.model.diagnoses import Blame

_OF_C = (
    "stddef.h", "stdlib.h", "stdio.h", "stdint.h", "string.h", "assert.h", "limits.h", "math.h", "features.h",
    "dlfcn.h", "pthread.h", "bits/libc-header-start.h", "sys/cdefs.h", "linux/limits.h",
)  # fmt: skip

SIGNATURES = (
    Signature(
        id="c-compiler-missing",
        blame=Blame.IMAGE,
        cause="Triton and torch.compile compile C when a server starts, and the image has no compiler",
        remedy="install gcc and libc6-dev (build-essential) in the image, or name a compiler by CC; "
        "--enforce-eager does without torch.compile, and not without Triton",
        seen=(
            "Failed to find C compiler. Please specify via CC environment variable",
            "No working C++ compiler found in",
            "InvalidCxxCompiler",
            "No such file or directory: 'gcc'",
            "No such file or directory: 'g++'",
            "No such file or directory: 'cc'",
            "No such file or directory: '/usr/bin/gcc'",
            "gcc: fatal error: cannot execute 'cc1",
            "command 'gcc' failed: No such file or directory",
            "unable to execute 'gcc'",
        ),
        explains=("triton-fails", "compiler-fails"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/2997",
            "https://github.com/vllm-project/vllm/issues/14075",
            "https://github.com/sgl-project/sglang/issues/1067",
        ),
    ),
    Signature(
        id="python-headers-missing",
        blame=Blame.IMAGE,
        cause="Triton compiles against Python's headers, and the image has no Python.h",
        remedy="install python3-dev (python3.X-dev of the very Python that runs)",
        seen=("fatal error: Python.h: No such file or directory", "Python.h: No such file or directory"),
        explains=("triton-fails", "compiler-fails"),
        sources=("https://github.com/vllm-project/vllm/issues/2997",),
    ),
    Signature(
        id="cuda-headers-missing",
        blame=Blame.IMAGE,
        cause="a kernel is compiled when the server starts, and CUDA's headers are not in the image: "
        "{header}",
        remedy="install the toolkit's headers for that CUDA (cuda-cudart-dev, libcublas-dev, cuda-cccl, or "
        "the wheels nvidia-cuda-runtime and nvidia-cuda-cccl) and set CUDA_HOME, or install compiled "
        "kernels (flashinfer-jit-cache)",
        seen=tuple(
            f"fatal error: {header}{{header}}: No such file or directory"
            for header in (
                "cuda",
                "cublas",
                "curand",
                "cusparse",
                "cusolver",
                "nvrtc",
                "nv/",
                "thrust/",
                "cub/",
                "nvtx3/",
            )
        ),
        explains=("compiler-fails",),
        sources=(
            "https://github.com/vllm-project/vllm/issues/29590",
            "https://github.com/flashinfer-ai/flashinfer/issues/4410",
        ),
    ),
    Signature(
        id="nvcc-missing",
        blame=Blame.IMAGE,
        cause="FlashInfer or DeepGEMM compiles kernels when the server starts, and the image has no nvcc",
        remedy="install nvcc and CUDA's headers and set CUDA_HOME, or flashinfer-cubin and "
        "flashinfer-jit-cache of flashinfer's version; VLLM_USE_FLASHINFER_SAMPLER=0 does without for the "
        "sampler",
        seen=(
            "Could not find nvcc",
            "Could not find nvcc and default cuda_home=",
            "No such file or directory: 'nvcc'",
            "No such file or directory: '/usr/local/cuda/bin/nvcc'",
            "bin/nvcc: not found",
            "nvcc: not found",
            "NVCC not found",
            "bin/nvcc: No such file or directory",
        ),
        explains=("compiler-fails", "cuda-home-missing"),
        sources=(
            "https://github.com/flashinfer-ai/flashinfer/issues/1919",
            "https://github.com/vllm-project/vllm/issues/49497",
        ),
    ),
    Signature(
        id="ninja-missing",
        blame=Blame.IMAGE,
        cause="extensions are compiled by ninja, which is not in the image",
        remedy="install it: `pip install ninja` in the same environment, with its bin folder on PATH",
        seen=(
            "Ninja is required to load C++ extensions",
            "No such file or directory: 'ninja'",
            "ninja: not found",
        ),
        explains=("compiler-fails",),
        sources=("https://docs.pytorch.org/docs/stable/cpp_extension.html",),
    ),
    Signature(
        id="driver-not-linkable",
        blame=Blame.IMAGE,
        cause="Triton links against libcuda, and the linker finds none, though the loader does[: it is in "
        "{libcuda_in}]: ld reads neither LD_LIBRARY_PATH nor its cache from before the driver was mounted",
        remedy="in the image: put the driver's folder (/usr/local/nvidia/lib64 on GKE and COS, /usr/lib64) "
        "into /etc/ld.so.conf.d and run ldconfig, or set LIBRARY_PATH or TRITON_LIBCUDA_PATH to it; never "
        "to a compat folder",
        seen=(
            "cannot find -l:libcuda.so.1",
            "cannot find -lcuda",
            "libcuda.so cannot found!",
            "libcuda.so cannot be found!",
        ),
        contradicts="this does not say that there is no driver: PyTorch has loaded it by now",
        explains=("triton-fails", "compiler-fails"),
        sources=(
            "https://github.com/llm-d/llm-d/issues/1063",
            "https://github.com/llm-d/llm-d/pull/1147",
            "https://github.com/vllm-project/vllm/issues/12505",
        ),
    ),
    Signature(
        id="gcc-too-new",
        blame=Blame.IMAGE,
        cause="nvcc[ {nvcc}] refuses the host compiler: it supports gcc up to {last}",
        remedy="install gcc-{last} and g++-{last}, and point CC, CXX and CUDAHOSTCXX at them (for JIT: "
        "NVCC_PREPEND_FLAGS='-ccbin g++-{last}'), or take a newer CUDA",
        seen=("unsupported GNU version! gcc versions later than {last:n} are not supported",),
        explains=("compiler-fails",),
        sources=("https://docs.nvidia.com/cuda/cuda-installation-guide-linux/",),
    ),
    Signature(
        id="cuda-home-missing",
        blame=Blame.IMAGE,
        cause="an extension is built, and no CUDA toolkit is found",
        remedy="install the toolkit of torch's CUDA and set CUDA_HOME, build in a -devel image, or take a "
        "wheel that is built",
        seen=(
            "CUDA_HOME environment variable is not set",
            "Cannot find CUDA_HOME",
            "Could not find CUDA installation",
        ),
        explains=("build-fails",),
        sources=("https://docs.pytorch.org/docs/stable/cpp_extension.html",),
    ),
    Signature(
        id="nvcc-of-other-cuda",
        blame=Blame.IMAGE,
        cause="the toolkit that would compile is CUDA {has}, and PyTorch is built for {wanted}",
        remedy="set CUDA_HOME to a toolkit of CUDA {wanted}, or take the PyTorch for CUDA {has}",
        seen=(
            (
                "The detected CUDA version ({has:v}) mismatches the version that was used to compile PyTorch "
                "({wanted:v})"
            ),
        ),
        explains=("build-fails",),
        sources=("https://docs.pytorch.org/docs/stable/cpp_extension.html",),
    ),
    Signature(
        id="compiler-killed",
        blame=Blame.HOST,
        cause="a compiler was killed: too many of them at once took all of the memory",
        remedy="build with MAX_JOBS=2 (and NVCC_THREADS=1), or with more memory",
        seen=("fatal error: Killed signal terminated program", "nvcc error : 'cicc' died due to signal 9"),
        explains=("killed", "build-fails", "compiler-fails"),
        sources=("https://docs.vllm.ai/en/latest/getting_started/installation/gpu/",),
    ),
    Signature(
        id="triton-fails",
        blame=Blame.IMAGE,
        cause="Triton could not compile a kernel",
        remedy="read what stands below `ptxas stderr` or above `InductorError`; --enforce-eager and another "
        "attention backend show which kernel it is",
        seen=("triton.runtime.errors.PTXASError", "PTXASError", "triton.compiler.errors.CompilationError"),
        is_symptom=True,
        sources=("https://github.com/triton-lang/triton",),
    ),
    Signature(
        id="compiler-fails",
        blame=Blame.IMAGE,
        cause="a kernel is compiled when the server starts, and that failed",
        remedy="read the compiler's first `error:` above it; an old cache may be at fault (remove "
        "~/.cache/flashinfer, ~/.triton, ~/.cache/vllm)",
        seen=(
            "Error building extension '{name}'",
            "Ninja build failed",
            "ninja: build stopped: subcommand failed",
        ),
        is_symptom=True,
        sources=("https://docs.pytorch.org/docs/stable/cpp_extension.html",),
    ),
    Signature(
        id="cuda-home-is-a-list",
        blame=Blame.USAGE,
        cause="CUDA_HOME is no folder: it begins or ends with a colon, as a list of paths does",
        remedy="set it to one folder: CUDA_HOME=/usr/local/cuda",
        seen=(" :/usr/local/cuda{}/bin/nvcc", "/usr/local/cuda{}:/bin/nvcc"),
        explains=("nvcc-missing", "compiler-fails"),
        sources=("https://github.com/vllm-project/vllm/issues/36077",),
    ),
    Signature(
        id="cuda-not-linkable",
        blame=Blame.IMAGE,
        cause="an extension is linked when the server starts, and CUDA's library is there under no name "
        "that the linker takes: {library}",
        remedy="install the toolkit's development package of it, or make the link lib{library}.so beside "
        "lib{library}.so.N and add that folder to LIBRARY_PATH; or install compiled kernels "
        "(flashinfer-jit-cache)",
        seen=tuple(f"cannot find -l{{library:name}}{rest}" for rest in (": No such file or directory", "")),
        needs=(
            tuple(
                f"cannot find -l{name}"
                for name in ("cudart", "nvrtc", "cublas", "cublasLt", "cudnn", "cupti", "nccl", "curand")
            ),
        ),
        explains=("driver-not-linkable", "compiler-fails"),
        sources=("https://github.com/flashinfer-ai/flashinfer/issues/4410",),
    ),
    Signature(
        id="c-headers-missing",
        blame=Blame.IMAGE,
        cause="the image has a C compiler without the C library's headers",
        remedy="install libc6-dev (build-essential) beside gcc",
        seen=tuple(f"fatal error: {header}: No such file or directory" for header in _OF_C),
        explains=("triton-fails", "compiler-fails"),
        sources=("https://github.com/vllm-project/vllm/issues/19656",),
    ),
)
