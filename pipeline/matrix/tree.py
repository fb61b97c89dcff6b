"""YAML as plain values, each with its place in the file; constructs that surprise readers are refused.

Scalars stay text unless YAML itself resolves them to another type: then they are ``NonString`` (or a
whole number), so that an unquoted ``3.10`` is reported as it was written, not as 3.1.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import Composer

from pipeline.matrix.fields import quoted, shown
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_BYTES = 256 * 1024
"""How many bytes a matrix may have."""

MAX_DEPTH = 20
"""How deep its values may be nested."""

MAX_VALUES = 10_000
"""How many values and keys it may hold."""

MAX_PROBLEMS_SHOWN = 50
"""How many problems one error lists."""

Loc = tuple[str | int, ...]
"""The location of a value: keys and indexes from the top of the file."""


@dataclass(frozen=True, order=True)
class Place:
    """Line and column in the file, both from 1."""

    line: int
    column: int


TOP = Place(1, 1)


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong with the file: where, what with its value, and the remedy."""

    place: Place
    what: str
    hint: str


@dataclass(frozen=True)
class NonString:
    """An unquoted scalar that YAML resolves to another type than text."""

    text: str
    kind: str


class Rejected:
    """A value that was already refused, so that it is not reported twice."""


@dataclass
class Tree:
    """The file's plain value, the places of all its values and keys, and the problems found while reading."""

    value: Any = None
    places: dict[Loc, Place] = field(default_factory=dict)
    keys: dict[Loc, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def written(self, loc: Loc) -> Loc:
        """The way to a value as the file has it: without an index where one entry stands for a list of it."""
        value, written = self.value, tuple[str | int, ...]()
        for part in loc:
            if isinstance(part, int) and not isinstance(value, list):
                continue
            written = (*written, part)
            value = _entry(value, part)
        return written

    def place(self, loc: Loc) -> Place:
        """The place of this value, or of the nearest enclosing one that is in the file."""
        loc = self.written(loc)
        while loc and loc not in self.places:
            loc = loc[:-1]
        return self.places.get(loc, TOP)

    def top(self, place: Place) -> str:
        """The top-level key that encloses this place; empty if there is none."""
        keys = [(start, str(loc[0])) for loc, start in self.keys.items() if len(loc) == 1 and start <= place]
        return max(keys)[1] if keys else ""

    def key(self, loc: Loc) -> Place:
        """The place of this value's key."""
        return self.keys.get(self.written(loc), self.place(loc))

    def without(self, wrong: set[Loc]) -> Tree:
        """The tree less these values; every other value keeps its place."""
        rest = Tree(problems=self.problems)
        rest.value = self._kept(self.value, wrong, (), rest, ())
        return rest

    def _kept(self, value: Any, wrong: set[Loc], loc: Loc, rest: Tree, target: Loc) -> Any:
        """Copy what is not wrong into the rest; later entries of a list move up."""
        if loc in self.places:
            rest.places[target] = self.places[loc]
        if loc in self.keys:
            rest.keys[target] = self.keys[loc]
        if isinstance(value, dict):
            kept = {name: entry for name, entry in value.items() if (*loc, name) not in wrong}
            return {n: self._kept(e, wrong, (*loc, n), rest, (*target, n)) for n, e in kept.items()}
        if isinstance(value, list):
            indexes = [index for index in range(len(value)) if (*loc, index) not in wrong]
            return [self._kept(value[i], wrong, (*loc, i), rest, (*target, n)) for n, i in enumerate(indexes)]
        return value


def _entry(value: Any, part: str | int) -> Any:
    """What stands there in a mapping or a list; None where there is nothing, or the value is neither."""
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


def read(path: Path, hint: str = "name the matrix with --matrix FILE") -> Tree:
    """Read the file. Raises UsageError if it cannot be read; other problems are in the tree.

    ``hint`` is the remedy where there is none.
    """
    tree = Tree(value=Rejected())
    text = _text(_bytes(path, hint), tree)
    if text is not None:
        _grow(text, tree)
    return tree


def usage_error(path: Path, problems: Iterable[Problem]) -> UsageError:
    """One error for all problems, in the order of the file."""
    lines = [(f"{path}:{p.place.line}:{p.place.column}: {p.what}", p.hint) for p in sorted(set(problems))]
    if len(lines) == 1:
        return UsageError(lines[0][0], hint=lines[0][1])
    what = "\n".join(f"{line}\n  hint: {hint}" for line, hint in lines[:MAX_PROBLEMS_SHOWN])
    first = f"the first {MAX_PROBLEMS_SHOWN} of " if len(lines) > MAX_PROBLEMS_SHOWN else ""
    return UsageError(what, hint=f"{first}{len(lines)} problems, each with its remedy above")


# -- from bytes to text -----------------------------------------------------------------------------


def _bytes(path: Path, hint: str) -> bytes:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file", hint=hint)
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", hint="make it readable") from error


def _text(body: bytes, tree: Tree) -> str | None:
    if len(body) > MAX_BYTES:
        tree.problems.append(
            Problem(
                TOP, f"the file is larger than {MAX_BYTES // 1024} KiB", "a matrix is small: write it shorter"
            )
        )
        return None
    if body.startswith(codecs.BOM_UTF8):
        tree.problems.append(
            Problem(TOP, "the file begins with a byte order mark", "save it as UTF-8 without a BOM")
        )
        body = body.removeprefix(codecs.BOM_UTF8)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place_after(body[: error.start].decode("utf-8"))
        what = f"byte 0x{body[error.start]:02x} is not UTF-8 text"
        hint = "save the file as UTF-8 text, without binary data"
        tree.problems.append(Problem(place, what, hint))
        return None
    if invisible := _INVISIBLE.search(text):
        what = f"the character U+{ord(invisible[0]):04X} is invisible"
        hint = "remove it: text with such characters is not what it looks like"
        tree.problems.append(Problem(_place_after(text[: invisible.start()]), what, hint))
        return None
    return text


_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters
    "\u2028\u2029"  # like U+0085 above, these end a line in YAML, but not in editors
    "\u202a-\u202e\u2066-\u2069"  # these display text in another order than it is read
    "\ufeff\ufffe\uffff]"
)


def _place_after(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


# -- from text to nodes -----------------------------------------------------------------------------


class _Composer(Composer, yaml.CSafeLoader):
    """PyYAML's tree of nodes from libyaml's events, with a marker in place of each refused value."""

    def __init__(self, text: str, problems: list[Problem]) -> None:
        Composer.__init__(self)
        yaml.CSafeLoader.__init__(self, text)
        self.problems = problems
        self.depth = 0
        self.count = 0

    def compose_document(self) -> yaml.Node | None:
        event: Any = self.peek_event()
        if event.version or event.tags:
            self._refuse(event, "a directive (%) is not allowed", "remove it")
        return super().compose_document()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()
        start, end = event.start_mark, event.end_mark
        if isinstance(event, yaml.AliasEvent):
            self.get_event()
            self._refuse(event, f"the alias *{event.anchor} hides a value", "write the value out")
            return yaml.ScalarNode(_REJECTED, "", start, end)
        if event.anchor is not None:
            self._refuse(event, f"the anchor &{event.anchor} is not allowed", "remove it")
            event.anchor = None
        if event.tag is not None:
            self._refuse(event, f"the tag {event.tag!r} is not allowed", "remove it and quote the value")
            event.tag = None
        self.depth += 1
        self.count += 1
        if self.depth > MAX_NODE_DEPTH or self.count > MAX_VALUES:
            problem = _TOO_DEEP if self.depth > MAX_NODE_DEPTH else _TOO_MANY
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=start)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, event: Any, what: str, hint: str) -> None:
        self.problems.append(Problem(_place(event.start_mark), what, hint))


_STANDARD = "tag:yaml.org,2002:"
_REJECTED = "!rejected"
_TOO_DEEP = f"values are nested more than {MAX_DEPTH} deep"
_TOO_MANY = f"there are more than {MAX_VALUES} values"
MAX_NODE_DEPTH = MAX_DEPTH + 1
_SYNTAX_HINTS = {
    "found a tab character": "indent with spaces: YAML allows no tab here",
    "found character that cannot start any token": "quote the text; and indent with spaces, never with a tab",
    "expected a single document": "keep one document: remove the line of three dashes",
    _TOO_DEEP: "no value of a matrix is nested that deep",
    _TOO_MANY: "a matrix is small: write it shorter",
    "mapping values are not allowed": "a colon and a blank make a key: quote the text, or indent it right",
    "nesting depth": "no value of a matrix is nested that deep",
    "directive": "remove it",
    "incompatible YAML document": "remove the directive (%)",
}


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _grow(text: str, tree: Tree) -> None:
    try:
        root = _Composer(text, tree.problems).get_single_node()
    except yaml.MarkedYAMLError as error:
        what = ", ".join(part for part in (error.context, error.problem) if part)
        hint = next((h for cause, h in _SYNTAX_HINTS.items() if cause in what), "correct the YAML there")
        mark = error.problem_mark or error.context_mark
        tree.problems.append(Problem(_place(mark) if mark else TOP, f"this is no YAML: {what}", hint))
    else:
        if root is None:
            hint = "begin with `schema: 1`; the project's own matrix.yaml shows the rest"
            tree.problems.append(Problem(TOP, "the file is empty", hint))
        else:
            tree.value = _value(root, (), tree)


# -- from nodes to plain values ---------------------------------------------------------------------

_KINDS = {
    "float": "a number",
    "int": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
}
_WHOLE = re.compile(r"0|[1-9][0-9]{0,8}")


def _value(node: yaml.Node, loc: Loc, tree: Tree) -> Any:
    tree.places[loc] = _place(node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return {name: _value(value, (*loc, name), tree) for name, value in _entries(node, loc, tree)}
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*loc, index), tree) for index, item in enumerate(node.value)]
    if node.tag == _REJECTED:
        return Rejected()
    kind = node.tag.removeprefix(_STANDARD)
    if kind == "int" and _WHOLE.fullmatch(node.value):
        return int(node.value)
    return NonString(node.value, _KINDS[kind]) if kind in _KINDS else node.value


def _entries(node: yaml.MappingNode, loc: Loc, tree: Tree) -> list[tuple[str, yaml.Node]]:
    """The entries whose keys are text and not repeated; the others become problems."""
    entries: dict[str, yaml.Node] = {}
    for key, value in node.value:
        problem = _wrong_key(key, (*loc, key.value) if isinstance(key.value, str) else loc, tree)
        if problem is None:
            entries[key.value] = value
            tree.keys[*loc, key.value] = _place(key.start_mark)
        elif key.tag != _REJECTED:
            tree.problems.append(problem)
    return list(entries.items())


def _wrong_key(key: yaml.Node, loc: Loc, tree: Tree) -> Problem | None:
    place = _place(key.start_mark)
    if not isinstance(key, yaml.ScalarNode):
        return Problem(place, "a key is a list or a mapping", "a key is one word of text")
    if key.tag == f"{_STANDARD}merge":
        return Problem(place, "the merge key << is not allowed", "write the keys out")
    if key.tag != f"{_STANDARD}str":
        return Problem(
            place, f"the key {shown(key.value)} is not text to YAML", f"quote it: {quoted(key.value)}"
        )
    if loc in tree.keys:
        what = f"the key {shown(key.value)} is given twice, first on line {tree.keys[loc].line}"
        return Problem(place, what, "keep one of the two")
    return None
