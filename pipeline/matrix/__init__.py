"""From matrix.yaml to a Matrix: ``load`` reads the file, ``select`` picks some of its cells.

One step in each file: ``tree`` reads YAML and keeps every value's place; ``schema`` and ``fields`` define
what each key may hold, and ``validate`` reports what is wrong with it; ``cells`` multiplies the axes;
``bases`` chooses each cell's system, ``rules`` its settings; ``feasibility`` leaves out what cannot exist;
``tags`` checks the further tags, ``places`` what lies beside the file. Every problem is reported at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.matrix import bases, feasibility, places, rules, scanning, tags
from pipeline.matrix.cell_rules import EVERY_CELL
from pipeline.matrix.cells import expand, unused_archs
from pipeline.matrix.globs import chosen, matching, no_match
from pipeline.matrix.schema import AUTO, AXES, File, keys_of
from pipeline.matrix.tree import Problem, read, usage_error
from pipeline.matrix.validate import validate
from pipeline.model import KINDS, Matrix, Policy, Repository
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.compat.facts import Facts
    from pipeline.matrix.tree import Tree
    from pipeline.model import Pruned, Spec

__all__ = ["chosen", "load", "matching", "no_match", "select", "survey"]


def load(path: Path, repository: str | None = None, facts: Facts | None = None) -> Matrix:
    """Read the matrix. ``repository`` replaces ``publish.repository``; its staging follows from it.

    Its cells are judged by ``facts``, by default those that the package ships.
    Raises one UsageError with every problem of the file: line, column, value and remedy.
    """
    validated = validate(read(path))
    override = _repository(repository)
    file, tree, problems = validated.file, validated.tree, list(validated.problems)
    if file is None:
        raise usage_error(path, problems)
    cells = _cells(file, tree, validated.faulty, facts or compat.shipped())
    problems += [*cells.problems, *_wrong_places(file, tree, path, validated.faulty)]
    if problems:
        raise usage_error(path, problems)
    return _matrix(file, path, override, cells)


def select(matrix: Matrix, patterns: Iterable[str]) -> tuple[Spec, ...]:
    """The cells that any of these globs matches, less those of a ``!glob``, in the order of the matrix.

    An alias stands for its cell. All cells without a pattern that selects. Raises UsageError where a pattern
    matches no cell.
    """
    ids = [cell.id for cell in matrix.cells]
    selected = frozenset(chosen(ids, _without_aliases(matrix, patterns), matrix.pruned))
    return tuple(spec for spec in matrix.specs if spec.cell.id in selected)


def survey(matrix: Matrix, patterns: Iterable[str]) -> tuple[tuple[Spec, ...], tuple[Pruned, ...]]:
    """The same cells, and the combinations matched by these globs that become no cell."""
    ids = [cell.id for cell in (*matrix.cells, *(combination.cell for combination in matrix.pruned))]
    selected = frozenset(chosen(ids, _without_aliases(matrix, patterns)))
    specs = tuple(spec for spec in matrix.specs if spec.cell.id in selected)
    return specs, tuple(combination for combination in matrix.pruned if combination.cell.id in selected)


def _without_aliases(matrix: Matrix, patterns: Iterable[str]) -> Iterator[str]:
    """Each pattern, with the id of its cell in the place of an alias."""
    ids = dict(matrix.aliases)
    for pattern in (pattern for given in patterns for pattern in given.split()):
        name = pattern.removeprefix("!")
        yield pattern.removesuffix(name) + ids.get(name, name)


# -- cells ------------------------------------------------------------------------------------------

_NO_CELL_KEYS = frozenset(keys_of(File)) - {*AXES, "include", "exclude"}
"""Keys that make no cell. After a problem in any other key every glob would seem to match nothing."""


@dataclass(frozen=True)
class _Cells:
    """What became of the cells that the file asks for. Empty if they are unknown."""

    specs: tuple[Spec, ...] = ()
    pruned: tuple[Pruned, ...] = ()
    matches: rules.Matches = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def _cells(file: File, tree: Tree, faulty: frozenset[str], facts: Facts) -> _Cells:
    if not faulty <= _NO_CELL_KEYS:
        return _Cells()
    requests, problems = expand(file, tree, facts)
    kept = tuple(request for request in requests if not request.excluded)
    asked = [request for request in kept if request.cell.vllm != AUTO]
    resolved = [request.cell for request in asked]
    matches, unclear = rules.match(file, [cell.id for cell in resolved], tree)
    judged = feasibility.judge(requests, rules.specs_of(file, resolved, matches, faulty), facts)
    remaining = [spec.cell for spec in judged.specs] + [refused.request.cell for refused in judged.refused]
    problems += [*unclear, *feasibility.impossible(judged.refused, tree, facts)]
    if remaining:
        ids = [cell.id for cell in remaining]
        problems += rules.wrong_matches(file, matches, ids, judged.pruned, tree)
        problems += rules.clashes(file, matches, ids, tree)
        problems += tags.taken(file, remaining, tree)
        problems += unused_archs(file, kept, tree)
        if "base" not in faulty:
            problems += bases.wrong_counts(file, asked, frozenset(ids), matches, tree)
    elif not problems:
        problems.append(feasibility.nothing_left(file, judged, tree))
    return _Cells(judged.specs, judged.pruned, matches, tuple(problems))


# -- places outside the file ---------------------------------------------------------------------------------


def _wrong_places(file: File, tree: Tree, path: Path, faulty: frozenset[str]) -> Iterator[Problem]:
    """Problems with the base, the repositories and the files beside it that are not problems of shape."""
    if "base" not in faulty:
        yield from bases.wrong_entries(file, tree)
    if "publish" not in faulty:
        yield from _wrong_staging(file, tree)
    yield from places.wrong(file, path, tree)


def _wrong_staging(file: File, tree: Tree) -> Iterator[Problem]:
    if file.publish.staging is None:
        return
    repository, staging = Repository.parse(file.publish.repository), Repository.parse(file.publish.staging)
    place = tree.place(("publish", "staging"))
    if repository == staging:
        yield Problem(place, f"publish.staging is the repository itself: {staging}", "choose another path")
    elif repository.host != staging.host:
        what = f"publish.staging is on another registry: {staging.host}, not {repository.host}"
        yield Problem(place, what, "blobs are mounted from staging: use the same registry")


def _repository(text: str | None) -> Repository | None:
    try:
        return None if text is None else Repository.parse(text)
    except ValueError as error:
        hint = "write --repository registry.example.org/team/vllm"
        raise UsageError(f"--repository: {error}", hint=hint) from error


# -- the result: one error, or the matrix --------------------------------------------------------------


def _matrix(file: File, path: Path, named: Repository | None, cells: _Cells) -> Matrix:
    destination = named or Repository.parse(file.publish.repository)
    staging = file.publish.staging if named is None else None
    kept = frozenset(spec.cell.id for spec in cells.specs)
    aliases = {alias: cells.matches["publish", "aliases", alias] & kept for alias in file.publish.aliases}
    return Matrix(
        path=path,
        specs=cells.specs,
        repository=destination,
        staging=Repository.parse(staging) if staging else _default_staging(destination),
        aliases=tuple((alias, next(iter(ids))) for alias, ids in aliases.items()),
        policy=_policy(file, cells.specs),
        model=file.verify.model,
        tests=places.tests_of(file, path),
        prompts=places.prompts_of(file, path),
        healthy_seconds=file.verify.healthy_seconds,
        attempts=file.verify.attempts,
        gpu_memory=rules.memory_of(entry for entry in file.gpu if entry.cells == EVERY_CELL),
        tags=file.publish.tags,
        pruned=cells.pruned,
        signers=tuple(path.parent / signer for signer in file.verify.signers),
        moves=file.publish.moves,
        speed_ratio=file.verify.speed.ratio if file.verify.speed else None,
        keep_days=file.publish.keep_days,
        demand=scanning.demand_of(file.scan),
        freezes=tuple(map(rules.freeze_of, file.publish.freeze)),
    )


def _default_staging(repository: Repository) -> Repository:
    """Where images wait for their proof, unless the matrix names another repository."""
    try:
        return Repository.parse(f"{repository}-staging")
    except ValueError as error:
        raise UsageError(f"staging: {error}", hint="choose a shorter repository") from error


def _policy(file: File, specs: tuple[Spec, ...]) -> Policy:
    return Policy(
        required=dict.fromkeys(KINDS, file.verify.required) if file.verify.required else {},
        at_least=dict(file.verify.at_least.items()),
        left_out={spec.cell.id: frozenset(dict(spec.left_out)) for spec in specs if spec.left_out},
        max_age_days=file.verify.max_age_days,
        accept_flaky=file.verify.flaky == "accept",
        scan=scanning.terms_of(file.scan),
        later=tuple(entry.rule for entry in file.verify.later),
    )
