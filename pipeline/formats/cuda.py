"""Names in which CUDA's version stands: variants of wheels, the runtime's library."""

from __future__ import annotations

import re

_RUNTIME = re.compile(r"libcudart\.so\.([0-9]+)(\.[0-9]+)?")


def variant_of(cuda: str | None) -> str:
    """``cu130`` for CUDA ``13.0``, ``cpu`` for none."""
    return f"cu{cuda.replace('.', '')}" if cuda else "cpu"


def runtime_of(library: str) -> str | None:
    """The major of CUDA whose runtime this library is (``13`` for ``libcudart.so.13``); None for others."""
    match = _RUNTIME.fullmatch(library)
    return match[1] if match else None
