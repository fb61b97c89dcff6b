"""A piece of code without what is prose in it, as tokens: two pieces that do the same have the same tokens.

Left out are docstrings, comments, positions, import statements, annotations of functions and variables, the
names of locals, and the words of messages. Names of ours are not in it either: where one is used stands its
target. What is kept is all that decides: the operations and their order, constants, names of attributes and
of arguments that are given by name, and what is used of others.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.conduct.sources import Definition, External, Origin, Sources, Target, Whole, bound, imports_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Token = str | Target
"""A piece of text, or something of ours that is used here."""

MESSAGES = frozenset({"what", "why", "remedy", "hint", "help"})
"""Arguments whose words are for people: the text in them is left out, what is computed for it is not."""

_SKIPPED = frozenset({"ctx", "type_comment", "type_ignores", "kind", "type_params", "returns"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass
class Scope:
    """The names of one function, lambda or comprehension, or those that a class body keeps."""

    names: frozenset[str]
    is_class: bool = False
    numbers: dict[str, str] = field(default_factory=dict)


@dataclass
class Blind:
    """Tells pieces of one module; ``kept`` are names of parameters that somebody gives by name."""

    sources: Sources
    module: str
    kept: Collection[str] = frozenset()
    imports: Mapping[str, Origin] = field(default_factory=dict)
    _scopes: list[Scope] = field(default_factory=list)
    _is_message: bool = False
    _locals: int = 0

    def tokens(self, node: ast.AST) -> Iterator[Token]:
        """The tokens of a statement at the top of the module, without the name of a function or class."""
        self.imports = imports_of(node, self.module) if isinstance(node, ast.stmt) else {}
        self._locals = 0
        yield from self._of(node)

    # -- nodes --------------------------------------------------------------------------------------

    def _of(self, node: ast.AST) -> Iterator[Token]:
        if _is_prose(node):
            return
        match node:
            case ast.Name():
                yield from self._name(node.id)
            case ast.Attribute() if target := self._ours(node):
                yield target
            case ast.Constant(value=value):
                yield "text" if self._is_message and isinstance(value, str) else repr(value)
            case ast.ClassDef():
                yield from self._class(node)
            case _ if isinstance(node, _FUNCTIONS):
                yield from self._function(node)
            case _ if isinstance(node, _COMPREHENSIONS):
                yield from self._within(Scope(frozenset(_targets(node))), node)
            case ast.AnnAssign() if not self._in_class_body():
                yield from self._fields("Assign", node, ("target", "value"))
            case _:
                before, self._is_message = self._is_message, self._is_message or _is_message(node)
                yield from self._fields(type(node).__name__, node, node._fields)
                self._is_message = before

    def _fields(self, name: str, node: ast.AST, fields: Collection[str]) -> Iterator[Token]:
        yield f"({name}"
        for one in fields:
            value = getattr(node, one, None)
            if one not in _SKIPPED and value not in (None, []):
                yield f".{one}"
                yield from self._value(one, value)
        yield ")"

    def _value(self, name: str, value: object) -> Iterator[Token]:
        if isinstance(value, ast.AST):
            yield from self._of(value)
        elif isinstance(value, list):
            for one in value:
                yield from self._value(name, one)
            yield ";"
        elif isinstance(value, str) and name in {"name", "rest", "names"}:
            yield from self._name(value)
        else:
            yield repr(value)

    # -- scopes -------------------------------------------------------------------------------------

    def _class(self, node: ast.ClassDef) -> Iterator[Token]:
        if self._scopes:
            yield from self._name(node.name)
        kept = frozenset(name for statement in node.body for name in bound(statement))
        scope = Scope(kept, is_class=True)
        yield from self._fields("Class", node, ("decorator_list", "bases", "keywords"))
        self._scopes.append(scope)
        for statement in node.body:
            yield from self._of(statement)
        self._scopes.pop()
        yield "end"

    def _function(self, node: ast.AST) -> Iterator[Token]:
        assert isinstance(node, _FUNCTIONS)
        if not isinstance(node, ast.Lambda) and self._scopes:
            yield from self._name(node.name)
        for one in (*getattr(node, "decorator_list", []), *node.args.defaults, *node.args.kw_defaults):
            yield from self._of(one) if one else "-"
        body = node.body if isinstance(node.body, list) else [node.body]
        parameters = list(_parameters(node.args))
        names = {*parameters, *(name for one in body for name in bound(one))} - _shared(node)
        scope = Scope(frozenset(names - self.imports.keys()))
        scope.numbers |= {name: f"={name}" for name in parameters if name in self.kept}
        self._scopes.append(scope)
        yield f"({type(node).__name__}"
        yield from (token for name in parameters for token in self._name(name))
        yield _shape(node.args)
        for one in body:
            yield from self._of(one)
        yield ")"
        self._scopes.pop()

    def _within(self, scope: Scope, node: ast.AST) -> Iterator[Token]:
        self._scopes.append(scope)
        yield from self._fields(type(node).__name__, node, node._fields)
        self._scopes.pop()

    def _in_class_body(self) -> bool:
        return bool(self._scopes) and self._scopes[-1].is_class

    # -- names --------------------------------------------------------------------------------------

    def _name(self, name: str) -> Iterator[Token]:
        if scope := self._scope_of(name):
            yield name if scope.is_class else self._numbered(scope, name)
            return
        target = self._means(name)
        if isinstance(target, External):
            yield f"<{target.name}>"
        else:
            yield name if target is None else target

    def _scope_of(self, name: str) -> Scope | None:
        """The scope that binds a name here; a class body's names are not those of its methods."""
        seen = (one for depth, one in enumerate(reversed(self._scopes)) if depth == 0 or not one.is_class)
        return next((one for one in seen if name in one.names), None)

    def _numbered(self, scope: Scope, name: str) -> str:
        if name not in scope.numbers:
            self._locals += 1
            scope.numbers[name] = f"#{self._locals}"
        return scope.numbers[name]

    def _means(self, name: str) -> Definition | Whole | External | None:
        if name in self.imports:
            return self.sources.taken(self.imports[name])
        return self.sources.means(self.module, name)

    def _ours(self, node: ast.Attribute) -> Definition | Whole | None:
        """What ``module.name`` stands for, where that is a module of ours."""
        base: Definition | Whole | External | None
        match node.value:
            case ast.Name(id=name) if not self._scope_of(name):
                base = self._means(name)
            case ast.Attribute():
                base = self._ours(node.value)
            case _:
                return None
        found = self.sources.means(base.module, node.attr) if isinstance(base, Whole) else None
        return found if isinstance(found, Definition | Whole) else None


def _is_prose(node: ast.AST) -> bool:
    """A docstring or a text that stands alone; and an import, whose target stands where its name is used."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def _is_message(node: ast.AST) -> bool:
    """Whether texts in it are for people: what an error says, and the reason and remedy of a finding."""
    return isinstance(node, ast.Raise) or (isinstance(node, ast.keyword) and node.arg in MESSAGES)


def _shared(node: ast.AST) -> set[str]:
    """Names that a function does not bind itself, though it assigns them."""
    statements = (one for one in ast.walk(node) if isinstance(one, ast.Global | ast.Nonlocal))
    return {name for one in statements for name in one.names}


def _shape(args: ast.arguments) -> str:
    """How the parameters may be given."""
    kinds = (args.posonlyargs, args.args, args.kwonlyargs)
    return f"{[len(kind) for kind in kinds]} {bool(args.vararg)} {bool(args.kwarg)}"


def _parameters(args: ast.arguments) -> Iterator[str]:
    every = (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg)
    yield from (one.arg for one in every if one)


def _targets(node: ast.AST) -> Iterator[str]:
    """The variables of a comprehension."""
    for generator in getattr(node, "generators", ()):
        yield from bound(generator.target)
