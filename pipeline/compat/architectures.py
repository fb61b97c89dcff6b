"""GPU architectures: which compiled code runs on which device.

NVIDIA, CUDA C++ Programming Guide, binary and PTX compatibility,
https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#binary-compatibility: machine code runs on
devices of the same major and a minor that is not smaller, but not across the border between desktop
and Tegra; PTX is compiled by the driver for any device that is not older. A suffix ``a`` ties code to one
architecture, ``f`` to its family (same major, minor not smaller):
https://developer.nvidia.com/blog/nvidia-blackwell-and-nvidia-cuda-12-9-introduce-family-specific-architecture-features
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache

_NAME = re.compile(r"(sm|compute)_([0-9]+)([0-9])([af]?)")

_TEGRA = {(5, 3), (6, 2), (7, 2), (8, 7), (10, 1), (11, 0)}
"""Jetson's, whose machine code no other device runs, and which run no other device's."""


class Coverage(StrEnum):
    """How a build reaches a device: by machine code, by PTX that the driver compiles, or not at all."""

    NATIVE = "native"
    PTX = "PTX"
    NONE = "none"


@cache
def coverage(archs: tuple[str, ...], device: str) -> Coverage:
    """How code for these architectures (``sm_80``, ``compute_90``) reaches a device (``sm_86``)."""
    kinds = {kind for arch in archs if (kind := _reaches(arch, device)) is not Coverage.NONE}
    return min(kinds, key=list(Coverage).index, default=Coverage.NONE)


@cache
def _reaches(arch: str, device: str) -> Coverage:
    code, target = _parsed(arch), _parsed(device)
    if code is None or target is None:
        return Coverage.NONE
    kind, at, suffix = code
    _, there, _ = target
    if suffix == "a":
        fits = at == there
    elif kind == "compute":
        fits = at <= there
    elif at in _TEGRA or there in _TEGRA:
        fits = at == there
    else:
        fits = at[0] == there[0] and at[1] <= there[1]
    if not fits:
        return Coverage.NONE
    return Coverage.PTX if kind == "compute" else Coverage.NATIVE


def _parsed(name: str) -> tuple[str, tuple[int, int], str] | None:
    match = _NAME.fullmatch(name)
    return (match[1], (int(match[2]), int(match[3])), match[4]) if match else None


def in_order(archs: tuple[str, ...]) -> tuple[str, ...]:
    """Architectures from the oldest to the newest, each once."""
    return tuple(sorted(set(archs), key=lambda arch: (_parsed(arch) or ("", (0, 0), ""))[1]))
