"""Names of wheels: which of them a Python installs (PEP 425), on which glibc (PEP 600)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.tags import compatible_tags, cpython_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.tags import Tag

_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
"""The glibc that each of the older names of manylinux stands for."""

_MIN_MINOR = 5
"""Of a glibc that manylinux knows."""

_PLATFORM = re.compile(r"(?:manylinux_([0-9]{1,4})_([0-9]{1,4})|(manylinux[0-9]{1,4}))_(\w+)")


_DATA = re.compile(r"[^/]+\.data/(?P<scheme>[^/]+)/(?P<path>.+)")
_METADATA = re.compile(r"[^/]+\.(?:dist-info|data)/")


def installed_path(member: str) -> str | None:
    """Where a member of a wheel lies in the folder of packages; None for metadata, and what is elsewhere."""
    match = _DATA.fullmatch(member)
    if match:
        return match["path"] if match["scheme"] in {"purelib", "platlib"} else None
    return None if member.endswith("/") or _METADATA.match(member) else member


def tags(python: str, machine: str, glibc: str) -> Iterator[Tag]:
    """The tags that this Python ("3.11") installs on this machine and glibc ("2.36"), best first."""
    version = tuple(int(part) for part in python.split("."))
    platforms = [f"{name}_{machine}" for name in _manylinux(glibc)] + [f"linux_{machine}"]
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, interpreter=f"cp{version[0]}{version[1]}", platforms=platforms)


def glibc_of(tag: Tag, machine: str) -> tuple[int, int] | None:
    """The oldest glibc on which a wheel with this tag installs; None where it is not for this machine."""
    match = _PLATFORM.fullmatch(tag.platform)
    if match is None or match[4] != machine:
        return None
    return _LEGACY.get(match[3]) if match[3] else (int(match[1]), int(match[2]))


def _manylinux(glibc: str) -> Iterator[str]:
    """The names of manylinux that a glibc has room for, the newest first."""
    major, minor = (int(part) for part in glibc.split("."))
    legacy = {version: name for name, version in _LEGACY.items()}
    for older in range(minor, _MIN_MINOR - 1, -1):
        yield f"manylinux_{major}_{older}"
        if name := legacy.get((major, older)):
            yield name
