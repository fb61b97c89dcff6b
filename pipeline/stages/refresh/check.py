"""What must hold of the rows before they are written: facts grow and change, they never shrink."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pipeline.formats import cuda, markers
from pipeline.model import Reason, ReasonCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.compat.rows import Artefact

_SOURCED = ("pythons_built", "cuda", "archs", "glibc_seen", "needs", "pins", "max_gcc", "damaged")
"""The facts that are read inside an artefact, and so must say where."""

_TOOLKIT = re.compile(r"cuda-toolkit|nvidia-cuda-runtime-cu[0-9]+")
"""The requirements whose version is that of CUDA itself."""


def lost(known: Iterable[Artefact], listed: Iterable[tuple[str, str, str]]) -> Iterator[Reason]:
    """Rows whose release the index does not have any more. A yanked one is still there."""
    offered = set(listed)
    for row in known:
        if (row.package, row.version, row.machine) not in offered:
            yield Reason(
                ReasonCode.LOST,
                f"{_named(row)} is in the facts, but the index lists no wheel of it any more",
                "look at the project's page; where it was really removed, remove its row and say why",
            )


def absent(rows: Iterable[Artefact], newest: Mapping[str, Version | None]) -> Iterator[Reason]:
    """Projects whose newest release has no row: facts that look fresh and are not."""
    releases = {(row.package, row.version) for row in rows}
    for project, version in newest.items():
        if (project, str(version)) not in releases:
            yield Reason(
                ReasonCode.ABSENT,
                f"{project} {version} is the newest release on the index and has no row",
                "it has no wheel for Linux yet: wait for it; if it has one, report it as unsupported",
            )


def sound(rows: Sequence[Artefact]) -> Iterator[Reason]:
    """What each row must agree with: its own sources and metadata, and the row of the torch that it pins."""
    torches = {row.version for row in rows if row.package == "torch"}
    for row in rows:
        yield from _unsourced(row)
        yield from () if row.damaged else _contradicted(row)
        yield from _unpaired(row, torches)


def metadata_cuda(row: Artefact) -> str | None:
    """The CUDA, ``13.0``, that a row's own requirements bring on its machine; None where they bring none."""
    for requirement in map(Requirement, row.pins):
        if _TOOLKIT.fullmatch(canonicalize_name(requirement.name)) and _holds(requirement, row):
            version = next((bound.version for bound in requirement.specifier if bound.operator == "=="), "")
            return ".".join(version.split(".")[:2]) or None
    return None


def torch_pins(row: Artefact) -> tuple[str, ...]:
    """The versions of torch that a row pins on its machine, as ``2.13.0`` or ``2.13.0+cpu``."""
    requirements = [
        requirement
        for requirement in map(Requirement, row.pins)
        if requirement.name == "torch" and _holds(requirement, row)
    ]
    return tuple(
        specifier.version
        for requirement in requirements
        for specifier in requirement.specifier
        if specifier.operator == "=="
    )


def _holds(requirement: Requirement, row: Artefact) -> bool:
    here = markers.environment(row.pythons[0] if row.pythons else "3.12", row.machine)
    return requirement.marker is None or requirement.marker.evaluate(here)


def _unsourced(row: Artefact) -> Iterator[Reason]:
    sources = dict(row.read_from)
    lacking = [fact for fact in _SOURCED if getattr(row, fact) is not None and not sources.get(fact)]
    if lacking:
        text = f"{_named(row)} does not say where it was read: {', '.join(lacking)}"
        yield Reason(ReasonCode.SOURCE, text, "no source recorded; re-read it with --fresh")


def _contradicted(row: Artefact) -> Iterator[Reason]:
    brought = metadata_cuda(row)
    if row.package == "torch" and brought != row.cuda:
        text = f"{_named(row)}: its METADATA brings CUDA {brought}, its torch/version.py says {row.cuda}"
        yield Reason(
            ReasonCode.CUDA, text, "one of both is wrong: look at the wheel before anything is built from it"
        )
    runtimes = {major for library in row.needs or () if (major := cuda.runtime_of(library))}
    if runtimes and (row.cuda or "").partition(".")[0] not in runtimes:
        text = f"{_named(row)} links the runtime of CUDA {'/'.join(sorted(runtimes))}, its CUDA is {row.cuda}"
        yield Reason(
            ReasonCode.CUDA, text, "one of both is wrong: look at the wheel before anything is built from it"
        )


def _unpaired(row: Artefact, torches: set[str]) -> Iterator[Reason]:
    for pin in torch_pins(row):
        if Version(pin).public not in torches:
            yield Reason(
                ReasonCode.TORCH,
                f"{_named(row)} pins torch {pin}, of which there is no row",
                "that release is not on the index, or older than the facts go back",
            )


def _named(row: Artefact) -> str:
    return f"{row.package} {row.version} {row.machine}"
