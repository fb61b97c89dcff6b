"""CUDA's own words: the names in which its version stands, and what its driver answers."""

from __future__ import annotations

import re

NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE: the driver is there and no GPU is.
https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html: CUresult."""

_RUNTIME = re.compile(r"libcudart\.so\.([0-9]+)(\.[0-9]+)?")


def variant_of(cuda: str | None) -> str:
    """``cu130`` for CUDA ``13.0``, ``cpu`` for none."""
    return f"cu{cuda.replace('.', '')}" if cuda else "cpu"


def runtime_of(library: str) -> str | None:
    """The major of CUDA whose runtime this library is (``13`` for ``libcudart.so.13``); None for others."""
    match = _RUNTIME.fullmatch(library)
    return match[1] if match else None
