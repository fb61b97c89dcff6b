"""Where images and wheels lie: the disks of this host, and the registries that it would write to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline.adapters import host, local_registry, paths
from pipeline.formats.units import size
from pipeline.model.errors import RegistryError
from pipeline.model.examinations import Aspect, Standing
from pipeline.stages import build, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.adapters.engine import Facts
    from pipeline.model import Lock, Repository

PATIENCE = 2.0
"""Seconds for which a registry that is away or busy is asked again."""

HANGS = "see whether its host, or a proxy on the way, is well; or name another one with --repository"
_PRUNE = "`docker system df` says what takes it, `docker builder prune` gives back the build cache"


def places(engine: Facts | None, repositories: Sequence[Repository]) -> Mapping[str, Path]:
    """What a build writes on this machine, and where; an engine elsewhere has its own disk."""
    found = {build.WHEELS: paths.wheels()}
    if engine and engine.root_dir.is_dir():
        found[build.ENGINE] = engine.root_dir
    for repository in repositories:
        if repository.is_loopback:
            found[build.REGISTRY] = local_registry.home(repository, paths.registries())
    return found


def disks(where: Mapping[str, Path], locks: Sequence[Lock]) -> Iterator[Aspect]:
    """Each disk, with what is free and what the builds need there."""
    for disk, free in host.room(where).items():
        needs = {lock.cell.id: _need(lock, disk) for lock in locks}
        short = [name for name, need in needs.items() if need > free]
        text = f"{size(free)} free for the {' and the '.join(disk)}"
        if needs:
            largest = max(needs, key=lambda name: needs[name])
            text += f"; the largest build of this matrix needs {size(needs[largest])} ({largest})"
        if short and len(short) == len(needs):
            yield Aspect("disk", Standing.BROKEN, text, _PRUNE)
        elif short:
            yield Aspect("disk", Standing.LIMITED, f"{text}: too little for {', '.join(short)}", _PRUNE)
        else:
            yield Aspect("disk", Standing.GOOD, text)


def too_large(lock: Lock, where: Mapping[str, Path]) -> str:
    """Why a build of this lock has no room here, or nothing."""
    for disk, free in host.room(where).items():
        if (need := _need(lock, disk)) > free:
            return f"needs {size(need)} of disk, {size(free)} are free"
    return ""


def _need(lock: Lock, disk: tuple[str, ...]) -> int:
    return build.needed(lock, fetch.bytes_missing(lock.pins, paths.wheels()), disk)


# -- registries ---------------------------------------------------------------------------------------


def registry(repository: Repository) -> Aspect:
    """Whether a repository can be read and written; on loopback nothing is started."""
    return _on_loopback(repository) if repository.is_loopback else _elsewhere(repository)


def _on_loopback(repository: Repository) -> Aspect:
    home = local_registry.home(repository, paths.registries())
    name = f"that of this machine, {repository.host}"
    if not local_registry.listens(repository):
        return _to_be_started(name, home)
    try:
        local_registry.serves(repository, home)
    except RegistryError as error:
        return Aspect("registry", Standing.BROKEN, error.what, error.hint)
    if home.exists() and not os.access(home, os.W_OK):
        what = f"{name}, runs, and {home} is not this user's to write to"
        return Aspect("registry", Standing.BROKEN, what, "name another one with --repository")
    return Aspect("registry", Standing.GOOD, f"{name}, runs")


def _to_be_started(name: str, home: Path) -> Aspect:
    if local_registry.program() is None:
        hint = "apt-get install docker-registry; or name a registry with --repository"
        return Aspect("registry", Standing.ABSENT, f"{name}, is not installed", hint)
    kept = "is down" if home.exists() else "holds nothing yet"
    return Aspect("registry", Standing.GOOD, f"{name}, {kept}; what writes to it starts it")


def _elsewhere(repository: Repository) -> Aspect:
    """Read a tag, which takes the login for reading; then begin an upload and cancel it."""
    from pipeline.adapters.registry import Registry  # noqa: PLC0415 - a machine without a matrix asks none

    there = Registry(repository, patience=PATIENCE)
    try:
        there.digest_of("latest")
    except RegistryError as error:
        return Aspect("registry", Standing.UNKNOWN, f"{repository} cannot be read: {error.what}", error.hint)
    try:
        there.refuse_read_only()
    except RegistryError as error:
        what = f"{repository} can be read, and takes no uploads: {error.what}"
        return Aspect("registry", Standing.LIMITED, what, error.hint)
    return Aspect("registry", Standing.GOOD, f"{repository} can be read and written")
