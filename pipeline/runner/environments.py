"""Environments that are not of the matrix: a list of packages, or an interpreter of this machine."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from pipeline.compat.companions import SOME_PYTHON, Place
from pipeline.compat.environment import Environment
from pipeline.formats import environments, markers
from pipeline.model import shown
from pipeline.model.errors import UsageError
from pipeline.model.platforms import MACHINES

if TYPE_CHECKING:
    from pathlib import Path


def of_list(text: str, name: str, platform: str, python: str | None = None) -> Environment:
    """What a list of packages says, for a Python ("3.12") where that is known.

    Raises UsageError where it is no list that is known here.
    """
    machine = MACHINES[platform]
    try:
        listing = environments.read(text, markers.environment(python or SOME_PYTHON, machine))
    except ValueError as error:
        kinds = "pip freeze or list, requirements, uv.lock, pylock.toml, poetry.lock, conda list, collect_env"
        raise UsageError(f"{name}: {shown(error)}", hint=f"what is read: {kinds}") from error
    odd = [one for one in listing.packages if one.version and not _is_version(one.version)]
    return Environment(
        f"{name} ({listing.kind})",
        {one.name: one.version for one in listing.packages if one.version and one not in odd},
        {one.name: one.bounds for one in listing.packages if not one.version},
        Place(python or listing.python or None, machine),
        listing.glibc or None,
        unread=(*listing.unread, *(f"{one.where}: {one.name} {one.version}" for one in odd)),
        tool=listing.tool,
    )


def of_python(python: Path) -> Environment:
    """What is installed in the environment of this interpreter. Raises UsageError where it cannot be run."""
    from pipeline.stages import environments  # noqa: PLC0415 - its imports take 0.3 s; a list needs none of them

    own = environments.installed(python)
    readable = {name: version for name, version in own.installed.items() if _is_version(version)}
    libc, glibc = platform.libc_ver()
    return Environment(
        str(python),
        readable,
        place=Place(
            own.markers.get("python_version"), own.markers.get("platform_machine", platform.machine())
        ),
        glibc=".".join(glibc.split(".")[:2]) if libc == "glibc" else None,
        own=own,
        unread=tuple(f"{name} {version}" for name, version in own.installed.items() if name not in readable),
    )


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except (InvalidVersion, ValueError):
        return False
    return True
