"""Our modules as a graph of definitions: what a name of one means, through imports and re-exports.

A definition is a name at the top of a module with the statements that bind it. So whoever follows one
definition meets only those that it uses, and no module as a whole because of a neighbour.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Definition:
    """A name at the top of a module of ours."""

    module: str
    name: str


@dataclass(frozen=True)
class Whole:
    """A module of ours that is used as a value: anything in it may be meant."""

    module: str


@dataclass(frozen=True)
class Loose:
    """What a module does when it is imported, beside binding names."""

    module: str


@dataclass(frozen=True)
class External:
    """Something of the standard library or of a dependency, by its dotted name."""

    name: str


Target = Definition | Whole | Loose
Origin = tuple[str, str | None]
"""A module, and what is taken from it; None for the module itself."""


@dataclass
class Module:
    """A parsed module: the statements that bind each name, what it imports, and all else that it does."""

    name: str
    path: Path
    bindings: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Origin] = field(default_factory=dict)
    loose: list[ast.stmt] = field(default_factory=list)
    by_name: frozenset[str] = frozenset()
    """The names of arguments that it gives by name."""


class Sources:
    """The modules of the package in this folder, each parsed once; ``texts`` stand for some files of it."""

    def __init__(self, package: Path, texts: Mapping[Path, str] | None = None) -> None:
        self.package = package
        self.texts = texts or {}
        self.module = cache(self._module)

    def _module(self, name: str) -> Module | None:
        """The module of this dotted name; None where it is none of ours."""
        ours, *parts = name.split(".")
        if ours != self.package.name:
            return None
        path = self.package.joinpath(*parts)
        files = (path / "__init__.py", path.with_suffix(".py"))
        file = next((one for one in files if one.is_file()), None)
        return _parsed(name, file, self.text(file)) if file else None

    def text(self, path: Path) -> str:
        """What a file of the package says."""
        return self.texts.get(path) or path.read_text("utf-8")

    def means(self, module: str, name: str) -> Definition | Whole | External | None:
        """What a name at the top of a module stands for; None where it is Python's own, or unknown."""
        found = self.module(module)
        if found is None:
            return External(f"{module}.{name}")
        if name in found.bindings:
            return Definition(module, name)
        origin = found.imports.get(name, (module, name))
        if origin != (module, name):  # else a package that imports a module of its own
            return self.taken(origin)
        return Whole(f"{module}.{name}") if self.module(f"{module}.{name}") else None

    def taken(self, origin: Origin) -> Definition | Whole | External | None:
        """What is taken by an import."""
        module, name = origin
        if name is not None:
            return self.means(module, name)
        return Whole(module) if self.module(module) else External(module)

    def names(self) -> Iterator[str]:
        """The dotted names of all modules."""
        for path in sorted(self.package.rglob("*.py")):
            parts = path.relative_to(self.package.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(node: ast.AST, package: str) -> dict[str, Origin]:
    """The names that imports in this piece of code bind, and where each comes from."""
    found: dict[str, Origin] = {}
    for one in ast.walk(node):
        if isinstance(one, ast.Import):
            for alias in one.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0],
                    None,
                )
        elif isinstance(one, ast.ImportFrom):
            above = package.split(".")[: -one.level + 1 or None] if one.level else []
            module = ".".join([*above, *([one.module] if one.module else [])])
            found |= {alias.asname or alias.name: (module, alias.name) for alias in one.names}
    return found


def bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement binds where it stands, those of nested functions and classes not."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
            return
        case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from (
                one.target.id
                for one in ast.walk(node)
                if isinstance(one, ast.NamedExpr) and isinstance(one.target, ast.Name)
            )
            return
        case ast.Name(ctx=ast.Store()):
            yield node.id
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
    for child in ast.iter_child_nodes(node):
        yield from bound(child)


@cache
def _read(text: str) -> tuple[ast.Module, frozenset[str]]:
    """A source, parsed, and the names of arguments that it gives by name."""
    tree = ast.parse(text)
    keywords = (node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword))
    return tree, frozenset(filter(None, keywords))


def _parsed(name: str, path: Path, text: str) -> Module:
    tree, by_name = _read(text)
    module = Module(name, path, by_name=by_name)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            module.imports |= imports_of(statement, package)
        names = list(dict.fromkeys(bound(statement)))
        for one in names:
            module.bindings.setdefault(one, []).append(statement)
        if not names and _acts(statement):
            module.loose.append(statement)
    return module


def _acts(statement: ast.stmt) -> bool:
    """Whether a statement that binds nothing does something wherever the module is imported."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return False
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return False
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return False
    return True
