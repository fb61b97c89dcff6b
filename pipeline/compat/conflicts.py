"""Conflicts of two packages, and those that no requirement tells: known pairs, and a wheel's own name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from pipeline.compat import pairs
from pipeline.model import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

Package = tuple[str, str]
"""A package by its normalised name, and its version with its local part."""

_FLASH_ATTENTION = re.compile(
    r"cu(?P<cuda>[0-9]{2})[0-9]?torch(?P<torch>[0-9]+\.[0-9]+)cxx11abi.*", re.IGNORECASE
)
FLASH_ATTENTION = ("https://github.com/Dao-AILab/flash-attention/issues/1644",)
"""Where it was seen that a wheel of it serves one PyTorch and one CUDA."""

_NO_WHEELS = (
    "https://github.com/Dao-AILab/flash-attention/issues/2299",
    "https://github.com/Dao-AILab/flash-attention/issues/2425",
    "https://github.com/Dao-AILab/flash-attention/issues/2442",
)
_FIRST_WITHOUT_WHEELS = Version("2.10")


@dataclass(frozen=True)
class Conflict:
    """Packages of which at least one has to change, why, and the requirement that is broken, if it is one."""

    finding: Finding
    between: tuple[str, ...]
    wanted: str = ""


def unsaid(one: Package, other: Package) -> Iterator[Conflict]:
    """What no requirement says."""
    both = dict((one, other))
    for row, here in pairs.unequal(both):
        (first, ours), (second, theirs) = here
        text = f"{second} {theirs} beside {first} {ours}: {row.text}"
        finding = Finding("equal-versions", Level.IMPOSSIBLE, text, row.source)
        yield Conflict(finding, (first, second), f"{second}=={ours.partition('+')[0]}")
    for clash in pairs.clashes(both):
        owner = next(name for name in both if name != pairs.project(clash.other))
        text = f"{clash.name}: {owner} {both[owner]} beside {clash.other}: {clash.text}"
        yield Conflict(
            Finding("known-bad", clash.level, text, clash.source), tuple(sorted(both)), clash.remedy
        )
    for twins, names in pairs.twins(both):
        text = f"{' and '.join(names)} write the same files ({twins.files}): the last one unpacked is there"
        finding = Finding("same-files", twins.level, text, twins.source, f"keep {twins.keep}")
        yield Conflict(finding, names)


def flash_attention(torch: Package, beside: Package, build: str | None) -> Iterator[Conflict]:
    """A wheel of flash-attn is for the PyTorch and the CUDA in its name; for newer ones there is none."""
    if beside[0] != "flash-attn":
        return
    between = (torch[0], beside[0])
    match = _FLASH_ATTENTION.fullmatch(beside[1].partition("+")[2])
    try:
        release = Version(torch[1])
    except InvalidVersion:
        return
    minor = f"{release.major}.{release.minor}"
    if match is None:
        if release >= _FIRST_WITHOUT_WHEELS:
            text = f"its makers have no wheel of flash-attn for torch {minor}: it is compiled on the spot"
            yield Conflict(Finding("cuda-build", Level.WARN, text, _NO_WHEELS), between)
        return
    differs = match["torch"] != minor or (
        build is not None and build != "cpu" and build[2:4] != match["cuda"]
    )
    if differs or build == "cpu":
        text = (
            f"flash-attn {beside[1]} is compiled for torch {match['torch']} and CUDA {match['cuda']}, "
            f"not for torch {torch[1]}" + (f" of {build}" if build else "")
        )
        source = (*FLASH_ATTENTION, f"its version, {beside[1]}")
        yield Conflict(Finding("cuda-build", Level.IMPOSSIBLE, text, source), between)
