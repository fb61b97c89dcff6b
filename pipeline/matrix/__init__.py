"""matrix.yaml, read and understood: ``load`` gives a Matrix, ``select`` some of its cells.

One step in each file: ``tree`` reads YAML and keeps every value's place; ``shape`` and ``texts`` say what
each key may hold, ``understand`` what is wrong with it; ``cells`` multiplies the axes; ``rules`` gives each
cell what is said of it; ``judging`` leaves out what cannot exist; ``names`` sees to tags. Every problem of
the file is told at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.matrix import feasibility, rules, tags
from pipeline.matrix.cells import expand, idle_archs, wrong_pythons
from pipeline.matrix.fields import shown
from pipeline.matrix.globs import chosen, matching, no_match
from pipeline.matrix.schema import AUTO, AXES, File, keys_of
from pipeline.matrix.tree import Problem, read
from pipeline.matrix.validate import understand
from pipeline.model import Matrix, Policy, Repository
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.compat.facts import Facts
    from pipeline.matrix.cells import Written
    from pipeline.matrix.tree import Tree
    from pipeline.model import Pruned, Spec

MOST_TOLD = 50
"""Problems that one error tells."""

__all__ = ["chosen", "load", "matching", "no_match", "select", "survey"]


def load(path: Path, repository: str | None = None, facts: Facts | None = None) -> Matrix:
    """Read the matrix. ``repository`` stands in for ``publish.repository``, and its staging follows it.

    Its cells are judged by ``facts``, which are the shipped ones unless others are given.
    Raises UsageError that holds every problem of the file, each with line, column, value and remedy.
    """
    understood = understand(read(path))
    there = _repository(repository)
    file, tree, problems = understood.file, understood.tree, list(understood.problems)
    if file is None:
        raise _usage_error(path, problems)
    cells = _cells(file, tree, understood.faulty, facts or compat.shipped())
    problems += [*cells.problems, *_wrong_places(file, tree, cells.asked, path, understood.faulty)]
    if problems:
        raise _usage_error(path, problems)
    return _matrix(file, path, there, cells)


def select(matrix: Matrix, patterns: Iterable[str]) -> tuple[Spec, ...]:
    """The cells that any of these globs matches, less those of a ``!glob``, in the order of the matrix.

    All of them where nothing says which to take. Raises UsageError where a pattern matches no cell.
    """
    ids = frozenset(chosen([cell.id for cell in matrix.cells], patterns, matrix.pruned))
    return tuple(spec for spec in matrix.specs if spec.cell.id in ids)


def survey(matrix: Matrix, patterns: Iterable[str]) -> tuple[tuple[Spec, ...], tuple[Pruned, ...]]:
    """The same, and beside it what these globs match of the combinations that become no cell."""
    ids = [cell.id for cell in (*matrix.cells, *(one.cell for one in matrix.pruned))]
    found = frozenset(chosen(ids, patterns))
    specs = tuple(spec for spec in matrix.specs if spec.cell.id in found)
    return specs, tuple(one for one in matrix.pruned if one.cell.id in found)


# -- cells ------------------------------------------------------------------------------------------

_BESIDE_CELLS = frozenset(keys_of(File)) - {*AXES, "include", "exclude"}
"""Keys that make no cell. What is wrong in another one would have each glob blamed for it."""


@dataclass(frozen=True)
class _Cells:
    """What the file asks for and does not exclude, and what came of it; nothing where that is not known."""

    asked: tuple[Written, ...] = ()
    specs: tuple[Spec, ...] = ()
    pruned: tuple[Pruned, ...] = ()
    matches: rules.Matches = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def _cells(file: File, tree: Tree, faulty: frozenset[str], facts: Facts) -> _Cells:
    if not faulty <= _BESIDE_CELLS:
        return _Cells()
    written, problems = expand(file, tree, facts)
    asked = tuple(one for one in written if not one.excluded)
    there = [one.cell for one in asked if one.cell.vllm != AUTO]
    matches, unclear = rules.match(file, [cell.id for cell in there], tree)
    judged = feasibility.judge(written, rules.specs_of(file, there, matches, faulty), facts)
    left = [spec.cell for spec in judged.specs] + [one.written.cell for one in judged.refused]
    problems += [*unclear, *feasibility.impossible(judged.refused, tree, facts)]
    if left:
        ids = [cell.id for cell in left]
        problems += rules.wrong_matches(file, matches, ids, judged.pruned, tree)
        problems += rules.clashes(file, matches, ids, tree)
        problems += tags.taken(file, left, tree)
        problems += idle_archs(file, asked, tree)
    elif not problems:
        problems.append(feasibility.nothing_left(file, judged, tree))
    return _Cells(asked, judged.specs, judged.pruned, matches, tuple(problems))


# -- places outside ---------------------------------------------------------------------------------


def _wrong_places(
    file: File, tree: Tree, asked: Iterable[Written], path: Path, faulty: frozenset[str]
) -> Iterator[Problem]:
    """What is wrong with the base, the repositories and the signers' keys, where their shape is right."""
    if "base" not in faulty:
        yield from _wrong_base(file, tree)
        yield from wrong_pythons(file, asked, tree)
    if "publish" not in faulty:
        yield from _wrong_staging(file, tree)
    yield from _absent_signers(file, path, tree)


def _wrong_base(file: File, tree: Tree) -> Iterator[Problem]:
    base = file.base
    if base.image is None and base.refresh is None:
        hint = 'add `refresh: "2026-11-20"`, the day whose packages the base takes'
        yield Problem(tree.place(("base",)), "base.refresh is missing", hint)
    if base.image is None and "glibc" in base.model_fields_set:
        place = tree.place(("base", "glibc"))
        yield Problem(place, "base.glibc stands without base.image", "the suite says it: remove it")
    if base.image is not None and {"suite", "refresh"} & base.model_fields_set:
        place = tree.place(("base", "image"))
        yield Problem(
            place, "base.image stands beside suite or refresh", "an image needs neither: remove them"
        )


def _wrong_staging(file: File, tree: Tree) -> Iterator[Problem]:
    if file.publish.staging is None:
        return
    here, there = Repository.parse(file.publish.repository), Repository.parse(file.publish.staging)
    place = tree.place(("publish", "staging"))
    if here == there:
        yield Problem(place, f"publish.staging is the repository itself: {there}", "choose another path")
    elif here.host != there.host:
        what = f"publish.staging is on another registry: {there.host}, not {here.host}"
        yield Problem(place, what, "blobs are mounted from staging: use the same registry")


def _absent_signers(file: File, path: Path, tree: Tree) -> Iterator[Problem]:
    for index, signer in enumerate(file.verify.signers):
        if not (path.parent / signer).is_file():
            place = tree.place(("verify", "signers", index))
            yield Problem(
                place, f"verify.signers: there is no file {shown(signer)}", "paths start at this file"
            )


def _repository(text: str | None) -> Repository | None:
    try:
        return None if text is None else Repository.parse(text)
    except ValueError as error:
        hint = "write --repository registry.example.org/team/vllm"
        raise UsageError(f"--repository: {error}", hint=hint) from error


# -- the end: one error, or the matrix --------------------------------------------------------------


def _usage_error(path: Path, problems: Iterable[Problem]) -> UsageError:
    """One error for all problems, in the order of the file."""
    lines = [(f"{path}:{p.place.line}:{p.place.column}: {p.what}", p.hint) for p in sorted(set(problems))]
    if len(lines) == 1:
        return UsageError(lines[0][0], hint=lines[0][1])
    what = "\n".join(f"{line}\n  hint: {hint}" for line, hint in lines[:MOST_TOLD])
    first = f"the first {MOST_TOLD} of " if len(lines) > MOST_TOLD else ""
    return UsageError(what, hint=f"{first}{len(lines)} problems, each with its remedy above")


def _matrix(file: File, path: Path, named: Repository | None, cells: _Cells) -> Matrix:
    there = named or Repository.parse(file.publish.repository)
    staging = file.publish.staging if named is None else None
    kept = frozenset(spec.cell.id for spec in cells.specs)
    aliases = {alias: cells.matches["publish", "aliases", alias] & kept for alias in file.publish.aliases}
    return Matrix(
        path=path,
        specs=cells.specs,
        repository=there,
        staging=Repository.parse(staging) if staging else _beside(there),
        aliases=tuple((alias, next(iter(found))) for alias, found in aliases.items()),
        policy=_policy(file, path),
        model=file.verify.model,
        healthy_seconds=file.verify.healthy_seconds,
        tags=file.publish.tags,
        pruned=cells.pruned,
    )


def _beside(there: Repository) -> Repository:
    """Where images wait for their proof if nobody names another place."""
    try:
        return Repository.parse(f"{there}-staging")
    except ValueError as error:
        raise UsageError(f"staging: {error}", hint="choose a shorter repository") from error


def _policy(file: File, path: Path) -> Policy:
    return Policy(
        required=file.verify.required,
        signers=tuple(path.parent / signer for signer in file.verify.signers),
        max_age_days=file.verify.max_age_days,
        accept_flaky=file.verify.flaky == "accept",
        moves=file.publish.moves,
    )
