"""NVIDIA's compilers by their own bytes: the release that they are of, and the architectures that they know.

``ptxas`` and ``nvcc`` hold the names of all architectures that they accept as texts, each ended by a zero
byte, and the line that ``--version`` prints. A linker may keep "sm_89" as the end of "compute_89" only, so
both forms count. Compared with ``ptxas --help`` of CUDA 12.8, 12.9, 13.0 and 13.3: none is missed; a few of
before sm_75 are named still that are no longer accepted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAMES = frozenset({"nvcc", "ptxas", "ptxas-blackwell"})
"""The names of the files; the last is Triton's second ptxas, which it takes for Blackwell and newer."""

_ARCH = re.compile(rb"\0(?:sm|compute)_([0-9]{2,3}[af]?)(?=\0)")
_RELEASE = re.compile(rb"Cuda compilation tools, release ([0-9]{1,3}\.[0-9]{1,3}), V")


@dataclass(frozen=True)
class CudaCompiler:
    """The CUDA that a compiler is of ("12.8", or empty), and the names that it knows ("sm_90", "sm_121a")."""

    release: str
    archs: frozenset[str]

    def makes(self, arch: str) -> bool:
        """Whether it makes machine code for the GPU of this architecture ("sm_121")."""
        return not self.archs.isdisjoint((arch, f"{arch}a", f"{arch}f"))


def read(data: memoryview) -> CudaCompiler | None:
    """What a file of one of these names says of itself; None where it names no architecture."""
    archs = frozenset(f"sm_{match[1].decode()}" for match in _ARCH.finditer(data))
    release = _RELEASE.search(data)
    return CudaCompiler(release[1].decode() if release else "", archs) if archs else None
