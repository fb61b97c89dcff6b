"""Code for GPUs by its names (``sm_90a``, ``compute_120``): which runs on which device.

NVIDIA, CUDA C++ Programming Guide, binary and PTX compatibility
(https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#binary-compatibility): machine code runs on
devices of the same major and a minor that is not smaller; "binary compatibility is supported only for the
desktop. It is not supported for Tegra. Also, the binary compatibility between desktop and Tegra is not
supported." PTX is compiled by the driver for any device that is not older.

A suffix ``a`` ties code, PTX too, to one architecture; ``f`` to its family, which is the same major from its
minor upwards, without Tegra (``compute_100f``: 10.0 and 10.3; ``compute_120f``: 12.0 and 12.1):
https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/compute-capabilities.html, table
"Family-Specific Compatibility".
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import Literal, NamedTuple

Capability = tuple[int, int]
"""Major and minor of a device, ``(8, 6)``."""

_NAME = re.compile(r"(sm|compute)_([0-9]{1,3})([0-9])([af]?)")

_TEGRA: frozenset[Capability] = frozenset({(5, 3), (6, 2), (7, 2), (8, 7), (10, 1), (11, 0)})
"""GPUs built into Jetson and DRIVE: TX1, TX2, Xavier, Orin, and Thor under its two names. No other device
runs their machine code, and they run no other's."""


class Coverage(StrEnum):
    """How a build reaches a device: by machine code, by PTX that the driver compiles, or not at all."""

    NATIVE = "native"
    PTX = "PTX"
    NONE = "none"


class _Code(NamedTuple):
    kind: Literal["sm", "compute"]
    at: Capability
    suffix: Literal["", "a", "f"]


def coverage(archs: tuple[str, ...], device: str) -> Coverage:
    """How code for these architectures (``sm_80``, ``compute_90``) reaches a device (``sm_86``).

    A name that is none reaches nothing, and is reached by nothing.
    """
    reached = {_reaches(arch, device) for arch in archs}
    return next((how for how in Coverage if how in reached), Coverage.NONE)


@cache
def _reaches(arch: str, device: str) -> Coverage:
    code, target = _parsed(arch), _parsed(device)
    if code is None or target is None or not _fits(code, target.at):
        return Coverage.NONE
    return Coverage.PTX if code.kind == "compute" else Coverage.NATIVE


def _fits(code: _Code, device: Capability) -> bool:
    if code.suffix == "a":
        return code.at == device
    if code.kind == "compute" and not code.suffix:
        return code.at <= device
    if code.at in _TEGRA or device in _TEGRA:
        return code.at == device
    return code.at[0] == device[0] and code.at[1] <= device[1]


def _parsed(name: str) -> _Code | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind: Literal["sm", "compute"] = "sm" if match[1] == "sm" else "compute"
    suffix: Literal["", "a", "f"] = "a" if match[4] == "a" else "f" if match[4] == "f" else ""
    return _Code(kind, (int(match[2]), int(match[3])), suffix)


def in_order(archs: tuple[str, ...]) -> tuple[str, ...]:
    """Architectures from the oldest to the newest, each once; names that are none come first."""
    return tuple(sorted(set(archs), key=_place))


def is_older(arch: str, other: str) -> bool:
    """Whether an architecture (``sm_70``) is before another one (``sm_75``); a name that is none is not."""
    ours, theirs = _parsed(arch), _parsed(other)
    return ours is not None and theirs is not None and ours.at < theirs.at


def _place(name: str) -> tuple[Capability, str]:
    code = _parsed(name)
    return (code.at if code else (0, 0)), name
