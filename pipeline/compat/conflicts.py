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

_COMPILED_FOR = (
    re.compile(
        r"cu(?P<cuda>[0-9]{2})[0-9]{0,2}\.?torch\.?(?P<torch>[0-9]+\.[0-9]+)(?:\.[0-9]+)?(?:cxx11abi\w+)?",
        re.IGNORECASE,
    ),
    re.compile(r"pt(?P<torch>[0-9]{2,3})(?:cu(?P<cuda>[0-9]{2})[0-9]|cpu)", re.IGNORECASE),
)
"""How wheels that are compiled for one PyTorch name it: flash-attn and its like, and those of PyG."""

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
    if frozenset((one[0], other[0])) not in pairs.TOLD:
        return
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


def compiled_for(version: str) -> tuple[str, str] | None:
    """The minor of PyTorch and the CUDA major (empty for a CPU) that a version names; None without."""
    local = version.partition("+")[2]
    for pattern in _COMPILED_FOR:
        if match := pattern.fullmatch(local):
            minor = match["torch"] if "." in match["torch"] else f"{match['torch'][0]}.{match['torch'][1:]}"
            return minor, match["cuda"] or ""
    return None


def named_builds(torch: Package, beside: Package, build: str | None) -> Iterator[Conflict]:
    """A wheel that names the PyTorch and the CUDA that it is compiled for goes with no other.

    ``build`` is PyTorch's own, ``cu130`` or ``cpu``, None where it is not known.
    """
    between, release = (torch[0], beside[0]), _release(torch[1])
    if release is None:
        return
    minor, named = f"{release.major}.{release.minor}", compiled_for(beside[1])
    if named is None:
        if beside[0] == "flash-attn" and release >= _FIRST_WITHOUT_WHEELS:
            text = f"its makers have no wheel of flash-attn for torch {minor}: it is compiled on the spot"
            yield Conflict(Finding("cuda-build", Level.WARN, text, _NO_WHEELS), between)
        return
    theirs, cuda = named
    if theirs != minor or (cuda and build is not None and build[2:4] != cuda):
        text = (
            f"{beside[0]} {beside[1]} is compiled for torch {theirs}{f' and CUDA {cuda}' if cuda else ''}, "
            f"not for torch {torch[1]}{f' of {build}' if build else ''}"
        )
        source = (*FLASH_ATTENTION, f"its version, {beside[1]}")
        hint = f"take its wheel for torch {minor}{f' and {build}' if build else ''}, or compile it there"
        yield Conflict(Finding("cuda-build", Level.IMPOSSIBLE, text, source, hint), between)


def _release(version: str) -> Version | None:
    try:
        return Version(version)
    except (InvalidVersion, ValueError):
        return None
