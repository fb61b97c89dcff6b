"""Checks the file's values against the schema; each problem has its place, a plain message and a remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError

from pipeline.matrix.cell_rules import Section
from pipeline.matrix.fields import AXIS_TEXTS, brief, quoted, shown
from pipeline.matrix.schema import AUTO, NONE, SECTIONS, File, keys_of
from pipeline.matrix.tree import NonString, Problem, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.matrix.tree import Loc, Tree


@dataclass(frozen=True)
class Validated:
    """The file without its faulty values, the tree of that, and the problems with the rest."""

    file: File | None
    tree: Tree
    problems: tuple[Problem, ...]
    faulty: frozenset[str]
    """The top-level keys that contain a problem."""


Root = TypeVar("Root", bound=Section)


@dataclass(frozen=True)
class Shape(Generic[Root]):
    """The type of a whole file, and those of its sections by their keys."""

    root: type[Root]
    sections: Mapping[str, type[Section]]


MATRIX = Shape(File, SECTIONS)


def read_as(shape: Shape[Root], tree: Tree) -> tuple[Root | None, tuple[Problem, ...]]:
    """A file of any shape, and every problem of it; None where a value is wrong."""
    try:
        return shape.root.model_validate(tree.value), tuple(tree.problems)
    except ValidationError as error:
        errors = [{**e, "loc": tree.written(e["loc"])} for e in error.errors(include_url=False)]
        found = (_problem(e, tree, shape) for e in errors)
        return None, (*tree.problems, *filter(None, found))


def validate(tree: Tree) -> Validated:
    """Check the shape. Faulty values are removed and missing ones added, so that the rest is judged too."""
    file, errors = _parse(tree)
    problems = (*tree.problems, *(problem for e in errors if (problem := _problem(e, tree, MATRIX))))
    faulty = {tree.top(problem.place) for problem in tree.problems}
    faulty |= {str(error["loc"][0]) for error in errors if error["loc"]}
    while errors and isinstance(tree.value, dict):
        before, tree = tree.value, tree.without({_faulty(error) for error in errors})
        tree.value = _with_required(tree.value)
        if tree.value == before:
            break
        file, errors = _parse(tree)
    return Validated(file, tree, problems, frozenset(faulty))


def _parse(tree: Tree) -> tuple[File | None, list[Any]]:
    """The file, or pydantic's errors, without "too short" for lists whose entries are all wrong."""
    try:
        return File.model_validate(tree.value), []
    except ValidationError as error:
        errors = [{**e, "loc": tree.written(e["loc"])} for e in error.errors(include_url=False)]
        return None, [e for e in errors if not (e["type"] == "too_short" and e["input"])]


def _with_required(rest: dict[str, Any]) -> dict[str, Any]:
    publish = {"repository": "localhost/none", **rest.get("publish", {})}
    return {"schema": 1, "base": {}, **rest, "publish": publish}


def _loc(error: Any) -> Loc:
    """The location of the value at fault; pydantic marks a mapping's key with ``[key]`` at the end."""
    loc: Loc = error["loc"]
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _faulty(error: Any) -> Loc:
    """What to remove: the value at fault, or the whole entry that lacks one."""
    return _loc(error)[:-1] if error["type"] == "missing" else _loc(error)


def _problem(error: Any, tree: Tree, shape: Shape[Any]) -> Problem | None:
    """One of pydantic's errors as a problem; None if the value was already refused."""
    loc, kind, value = _loc(error), error["type"], error["input"]
    name = ".".join(part for part in loc if isinstance(part, str)) or "the file"
    at_key = kind == "extra_forbidden" or error["loc"] != loc
    place = tree.key(loc) if at_key else tree.place(loc)
    if isinstance(value, Rejected):
        return None
    if kind == "extra_forbidden":
        return Problem(place, f"unknown key {shown(loc[-1])}{_inside(loc)}", _known_keys(loc, shape))
    if kind == "missing":
        return Problem(
            tree.place(loc[:-1]), f"{name} is missing", f"add {_EXAMPLES.get(name, f'`{loc[-1]}`')}"
        )
    if kind == "refused":
        return Problem(place, f"{name}: {error['ctx']['what']}", error["ctx"]["hint"])
    if isinstance(value, NonString) and value.kind == "nothing":
        remedy = "write none for no vLLM" if loc[:1] == ("vllm",) else "give it a value, or remove it"
        return Problem(place, f"{name} is empty", remedy)
    if kind == "string_type" and isinstance(value, NonString | int):
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
    "trim.reason": "`reason: …`, which says why",
    "publish.freeze.reason": "`reason: …`, which says why no tag is given then",
    "scan.exceptions.reason": "`reason: …`, which says why they may stay",
    "scan.exceptions.expires": '`expires: "2027-01-01"`, the last day on which it counts',
    "lock.cooldown": "`cooldown: 7`, in days",
    "lock.exceptions.reason": "`reason: …`, which says why they cannot wait",
}


def _unquoted(place: Any, name: str, value: NonString | int) -> Problem:
    text, kind = (value.text, value.kind) if isinstance(value, NonString) else (str(value), "a number")
    if re.fullmatch(r"[0-9]+\.[0-9]+", text):
        kind = f"the number {float(text)}"
    meant = _corrected(name, text)
    remedy = "quote it" if meant == text else "quote it and write it in full"
    return Problem(
        place, f"{name}: {brief(text)} without quotes is {kind} to YAML", f"{remedy}: {quoted(meant)}"
    )


def _corrected(name: str, text: str) -> str:
    """The text, or what was probably meant by it where the key of this name takes values of an axis."""
    section, _, key = name.rpartition(".")
    is_axis = section in {"", "include", "exclude", "base"} and key in AXIS_TEXTS
    return AXIS_TEXTS[key].corrected(text) if is_axis else text


def _inside(loc: Loc) -> str:
    return f" in {loc[0]}" if len(loc) > 1 else ""


def _known_keys(loc: Loc, shape: Shape[Any]) -> str:
    root, sections = shape.root, shape.sections
    section = sections.get(str(loc[0]), root) if len(loc) > 1 else root
    keys, key = keys_of(section), str(loc[-1])
    similar = get_close_matches(key.lower(), keys, n=1)
    homes = [name for name, other in sections.items() if key in keys_of(other)] if section is root else []
    if len(homes) == 1:
        return f"{key} belongs under {homes[0]}"
    if similar:
        return f"did you mean {similar[0]}?"
    return f"the keys here: {', '.join(keys)}"


def _mismatch(error: Any) -> str:
    """What is expected, and what is there instead."""
    expectation = {
        "tuple_type": "a list is expected",
        "dict_type": "a mapping is expected",
        "model_type": "a mapping is expected",
        "string_type": "one text is expected",
        "literal_error": f"one of {error.get('ctx', {}).get('expected')} is expected",
        "too_short": "at least one is expected",
        "too_long": f"at most {error.get('ctx', {}).get('max_length')} are expected",
    }.get(error["type"], error["msg"].removeprefix("Input should be ") + " is expected")
    return f"{expectation}, not {_described(error['input'])}"


def _described(value: Any) -> str:
    if isinstance(value, NonString):
        return brief(value.text)
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return shown(value)


def _remedy(error: Any) -> str:
    value, kind = error["input"], error["type"]
    if kind == "tuple_type" and isinstance(value, str | int | NonString):
        text = value.text if isinstance(value, NonString) else str(value)
        name = ".".join(map(str, _loc(error)))
        meant = _corrected(name, text)
        is_word = name == "vllm" and meant in {AUTO, NONE}
        return f"did you mean {meant}?" if is_word else f"write a list: [{quoted(meant)}]"
    if kind == "literal_error":
        expected = [word.strip("' ") for word in error["ctx"]["expected"].replace(" or ", ",").split(",")]
        similar = get_close_matches(str(value), expected, n=1)
        return f"did you mean {similar[0]}?" if similar else f"choose one of: {' '.join(expected)}"
    if kind in {"model_type", "dict_type"}:
        return "write it as keys with values"
    return "correct the value"
