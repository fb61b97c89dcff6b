"""YAML as plain values, each of which keeps its place; whatever can surprise is refused.

Scalars stay text unless YAML itself takes them for something else: then they are ``Odd`` (or a
whole number), so that an unquoted ``3.10`` is known for what was written, not for 3.1.
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
    from pathlib import Path

LARGEST = 256 * 1024
"""Bytes that a matrix may have."""

DEEPEST = 20
"""How deep its values may be nested."""

MOST_VALUES = 10_000
"""Values and keys that it may hold."""

Loc = tuple[str | int, ...]
"""The way to a value: keys and indexes from the top of the file."""


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
class Odd:
    """An unquoted scalar that YAML takes for something else than text."""

    text: str
    kind: str


class Hole:
    """A value that was refused already, so that nobody complains of it again."""


@dataclass
class Tree:
    """The file's plain value, the places of all its values and keys, and what was refused on the way."""

    value: Any = None
    places: dict[Loc, Place] = field(default_factory=dict)
    keys: dict[Loc, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, loc: Loc) -> Place:
        """Where this value stands, or the nearest one around it that does stand in the file."""
        while loc and loc not in self.places:
            loc = loc[:-1]
        return self.places.get(loc, TOP)

    def top(self, place: Place) -> str:
        """The key at the top of the file under which this place lies; empty where there is none."""
        above = [(there, str(loc[0])) for loc, there in self.keys.items() if len(loc) == 1 and there <= place]
        return max(above)[1] if above else ""

    def key(self, loc: Loc) -> Place:
        """Where the key of this value stands."""
        return self.keys.get(loc, self.place(loc))

    def without(self, wrong: set[Loc]) -> Tree:
        """The tree less these values, every other value in its place still."""
        rest = Tree(problems=self.problems)
        rest.value = self._kept(self.value, wrong, (), rest, ())
        return rest

    def _kept(self, value: Any, wrong: set[Loc], loc: Loc, rest: Tree, there: Loc) -> Any:
        """Copy what is not wrong into the rest, where a list's later entries move up."""
        if loc in self.places:
            rest.places[there] = self.places[loc]
        if loc in self.keys:
            rest.keys[there] = self.keys[loc]
        if isinstance(value, dict):
            kept = {name: entry for name, entry in value.items() if (*loc, name) not in wrong}
            return {n: self._kept(e, wrong, (*loc, n), rest, (*there, n)) for n, e in kept.items()}
        if isinstance(value, list):
            left = [index for index in range(len(value)) if (*loc, index) not in wrong]
            return [self._kept(value[i], wrong, (*loc, i), rest, (*there, n)) for n, i in enumerate(left)]
        return value


def read(path: Path) -> Tree:
    """Read the file. Raises UsageError where it cannot be read; all else is in the tree's problems."""
    tree = Tree(value=Hole())
    text = _text(_bytes(path), tree)
    if text is not None:
        _grow(text, tree)
    return tree


# -- from bytes to text -----------------------------------------------------------------------------


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file", hint="name the matrix with --matrix FILE")
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", hint="make it readable") from error


def _text(body: bytes, tree: Tree) -> str | None:
    if len(body) > LARGEST:
        tree.problems.append(
            Problem(
                TOP, f"the file is larger than {LARGEST // 1024} KiB", "a matrix is small: say it shorter"
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
        hint = "save the file as UTF-8 text; binary data has no place here"
        tree.problems.append(Problem(place, what, hint))
        return None
    if unseen := _UNSEEN.search(text):
        what = f"the character U+{ord(unseen[0]):04X} cannot be seen"
        hint = "remove it; a text with such characters reads as something else than it is"
        tree.problems.append(Problem(_place_after(text[: unseen.start()]), what, hint))
        return None
    return text


_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters
    "\u2028\u2029"  # like U+0085 above, these end a line for YAML, but not for editors
    "\u202a-\u202e\u2066-\u2069"  # these show a text in another order than it is read
    "\ufeff\ufffe\uffff]"
)


def _place_after(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


# -- from text to nodes -----------------------------------------------------------------------------


class _Composer(Composer, yaml.CSafeLoader):
    """Makes PyYAML's tree of nodes from libyaml's events, with a hole wherever a file tricks its reader."""

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
            return yaml.ScalarNode(_HOLE, "", start, end)
        if event.anchor is not None:
            self._refuse(event, f"the anchor &{event.anchor} is not allowed", "remove it")
            event.anchor = None
        if event.tag is not None:
            self._refuse(event, f"the tag {event.tag!r} is not allowed", "remove it and quote the value")
            event.tag = None
        self.depth += 1
        self.count += 1
        if self.depth > DEPTH_OF_NODES or self.count > MOST_VALUES:
            problem = _TOO_DEEP if self.depth > DEPTH_OF_NODES else _TOO_MANY
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=start)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, event: Any, what: str, hint: str) -> None:
        self.problems.append(Problem(_place(event.start_mark), what, hint))


_STANDARD = "tag:yaml.org,2002:"
_HOLE = "!hole"
_TOO_DEEP = f"values are nested more than {DEEPEST} deep"
_TOO_MANY = f"there are more than {MOST_VALUES} values"
DEPTH_OF_NODES = DEEPEST + 1
_SYNTAX_HINTS = {
    "found a tab character": "indent with spaces: YAML allows no tab here",
    "found character that cannot start any token": "quote the text; and indent with spaces, never with a tab",
    "expected a single document": "keep one document: remove the line of three dashes",
    _TOO_DEEP: "nothing in a matrix is nested that deep",
    _TOO_MANY: "a matrix is small: say it shorter",
    "mapping values are not allowed": "a colon and a blank make a key: quote the text, or indent it right",
    "nesting depth": "nothing in a matrix is nested that deep",
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
        hint = next((h for known, h in _SYNTAX_HINTS.items() if known in what), "correct the YAML there")
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
    if node.tag == _HOLE:
        return Hole()
    kind = node.tag.removeprefix(_STANDARD)
    if kind == "int" and _WHOLE.fullmatch(node.value):
        return int(node.value)
    return Odd(node.value, _KINDS[kind]) if kind in _KINDS else node.value


def _entries(node: yaml.MappingNode, loc: Loc, tree: Tree) -> list[tuple[str, yaml.Node]]:
    """The entries whose keys are text and stand for the first time; the others become problems."""
    entries: dict[str, yaml.Node] = {}
    for key, value in node.value:
        problem = _wrong_key(key, (*loc, key.value) if isinstance(key.value, str) else loc, tree)
        if problem is None:
            entries[key.value] = value
            tree.keys[*loc, key.value] = _place(key.start_mark)
        elif key.tag != _HOLE:
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
