"""CUDA's own words: the names in which its version stands, and what its driver answers."""

from __future__ import annotations

import re
from enum import IntEnum

_RUNTIME = re.compile(r"libcudart\.so\.([0-9]+)(\.[0-9]+)?")


class CuResult(IntEnum):
    """What cuInit may answer; a name is NVIDIA's, without ``CUDA_ERROR_``.

    https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html: enum CUresult.
    """

    OUT_OF_MEMORY = 2
    NOT_INITIALIZED = 3
    STUB_LIBRARY = 34
    DEVICE_UNAVAILABLE = 46
    NO_DEVICE = 100
    INVALID_DEVICE = 101
    DEVICE_NOT_LICENSED = 102
    OPERATING_SYSTEM = 304
    SYSTEM_NOT_READY = 802
    SYSTEM_DRIVER_MISMATCH = 803
    COMPAT_NOT_SUPPORTED = 804
    MPS_CONNECTION_FAILED = 805
    MPS_RPC_FAILURE = 806
    MPS_SERVER_NOT_READY = 807
    MPS_MAX_CLIENTS_REACHED = 808
    MPS_MAX_CONNECTIONS_REACHED = 809
    UNKNOWN = 999

    @classmethod
    def shown(cls, code: int | None) -> str:
        """The code, with its name if it has one: ``803 (SYSTEM_DRIVER_MISMATCH)``."""
        return f"{code} ({cls(code).name})" if code in set(cls) else f"{code}"


def shown_version(version: int) -> str:
    """CUDA's version as people write it, of the number that cuDriverGetVersion gives: 12.4 for 12040."""
    return f"{version // 1000}.{version % 1000 // 10}"


def variant_of(cuda: str | None) -> str:
    """``cu130`` for CUDA ``13.0``, ``cpu`` for none."""
    return f"cu{cuda.replace('.', '')}" if cuda else "cpu"


def version_of(variant: str) -> str:
    """CUDA ``12.9`` for ``cu129``."""
    return f"{variant[2:-1]}.{variant[-1]}"


def runtime_of(library: str) -> str | None:
    """The major of CUDA whose runtime this library is (``13`` for ``libcudart.so.13``); None for others."""
    match = _RUNTIME.fullmatch(library)
    return match[1] if match else None
