"""What each check of the suite does, and each family of rules of the certificate, as a digest blind to prose.

From the functions that a check consists of, every definition of ours is followed that they can come to. The
digest is of the tokens of these, each told apart by when it was met: so names, modules and files may be
called anything and stand anywhere. Data that lie beside the code and are read by it belong to it.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache, cached_property
from typing import TYPE_CHECKING

from tests.conduct.blind import Blind, Token
from tests.conduct.sources import Definition, Loose, Module, Sources, Target, Whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SUITE = "pipeline.suite"
AUDIT = "pipeline.stages.audit"
FAMILIES = Definition(f"{AUDIT}.rules", "FAMILIES")

CONFTEST = Whole(f"{SUITE}.conftest")
"""What pytest runs around every check, found by its name and not by an import."""

COMMON = (
    Definition(f"{AUDIT}.audit", "judge"),
    Definition(f"{AUDIT}.survey", "survey"),
    Definition("pipeline.adapters.image_files.opening", "open_image"),
    Definition("pipeline.adapters.image_files.folder", "Folder"),
)
"""What every family of rules stands on: how files are read, surveyed and judged."""

OUTSIDE = ("pipeline.adapters.registry", "pipeline.adapters.engine")
"""Not followed from the audit: they hand over bytes, which the image's digest names."""

NO_PART = frozenset({"facts.json", "companions.json", "overlay.json", "versions.json", "__init__.py"})
"""Data that are no part of a rule: a certificate names the day of its facts, and these digests themselves."""


class Conduct:
    """Digests of what the package in this folder does."""

    def __init__(self, package: Path, texts: Mapping[Path, str] | None = None) -> None:
        self.sources = Sources(package, texts)
        self._tokens = cache(lambda target: tuple(self._tokens_of(target)))

    def checks(self) -> dict[str, str]:
        """The digest of each check, by name."""
        return {name: self.digest(self.roots_of_check(name)) for name in self._checks}

    def rehearsal(self) -> dict[str, str]:
        """The digest of each check of a rehearsal, by name."""
        return {name: self.digest(self.roots_of_rehearsed(name)) for name in self._rehearsed}

    def rules(self) -> dict[str, str]:
        """The digest of each family of rules, by name."""
        return {name: self.digest(self.roots_of_family(name), audit=True) for name in self._families}

    def roots_of_check(self, name: str) -> tuple[Target, ...]:
        """The functions of this check, one for each kind of cell that has it, and what runs around them."""
        functions = self._checks[name]
        return (*functions, *(fixture for each in functions for fixture in self._fixtures(each)), CONFTEST)

    def roots_of_rehearsed(self, name: str) -> tuple[Target, ...]:
        """The function of this check of a rehearsal, the trial that it is given, and what runs around it."""
        (function,) = self._rehearsed[name]
        return (function, Definition(function.module, "trial_run"), CONFTEST)

    def roots_of_family(self, name: str) -> tuple[Target, ...]:
        """The functions of the rules of this family, and what all families stand on."""
        return (*self._families[name], *COMMON)

    def met(self, roots: Iterable[Target], *, audit: bool = False) -> dict[Target, tuple[Token, ...]]:
        """Everything that the roots come to, in the order in which it is met, with its tokens."""
        found: dict[Target, tuple[Token, ...]] = {}
        waiting = list(roots)
        while waiting:
            target = waiting.pop(0)
            if target in found:
                continue
            outside = audit and (target == FAMILIES or target.module.startswith(OUTSIDE))
            found[target] = () if outside else self._tokens(target)
            waiting += [one for one in found[target] if not isinstance(one, str)]
            if isinstance(target, Definition) and not outside:
                waiting.append(Loose(target.module))
        return found

    def digest(self, roots: Iterable[Target], *, audit: bool = False) -> str:
        """The SHA-256, in hex, of all that the roots come to."""
        found = self.met(roots, audit=audit)
        numbers = {target: f"@{number}" for number, target in enumerate(found)}
        told = [
            [one if isinstance(one, str) else numbers[one] for one in tokens] for tokens in found.values()
        ]
        return hashlib.sha256(json.dumps([one for one in told if one]).encode()).hexdigest()

    # -- tokens -------------------------------------------------------------------------------------

    def _tokens_of(self, target: Target) -> Iterator[Token]:
        module = self.sources.module(target.module)
        assert module, target
        match target:
            case Whole():
                yield from (Definition(module.name, name) for name in module.bindings if name != "__all__")
                yield Loose(module.name)
            case Loose():
                for statement in module.loose:
                    yield from self._blind(module).tokens(statement)
            case Definition():
                for statement in module.bindings[target.name]:
                    yield from self._blind(module).tokens(statement)
                    yield from self._data(module, statement)

    def _blind(self, module: Module) -> Blind:
        by_pytest = {
            "trial_run",
            "healthy_server",
            "note",
            "server_log",
            "request",
            "trial",
            "pytestconfig",
            "item",
            "call",
            "parser",
        }
        is_asked = module.name.startswith((f"{SUITE}.checks.check_", CONFTEST.module))
        return Blind(self.sources, module.name, self._given | (by_pytest if is_asked else set()))

    @cached_property
    def _given(self) -> frozenset[str]:
        """All names of arguments that are given by name anywhere: a parameter of such a name keeps it."""
        modules = filter(None, map(self.sources.module, self.sources.names()))
        return frozenset(name for one in modules for name in one.by_name)

    def _data(self, module: Module, statement: ast.stmt) -> Iterator[Token]:
        """The files beside a module that this statement reads: those it names, or, naming none, all."""
        nodes = list(ast.walk(statement))
        if not any(isinstance(one, ast.Name) and one.id == "__file__" for one in nodes):
            return
        words = {one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)}
        files = sorted(
            path for path in module.path.parent.iterdir() if path.is_file() and path != module.path
        )
        named = [path for path in files if path.name in words]
        for path in named or files:
            if path.name not in NO_PART:
                yield (
                    Whole(f"{module.name}.{path.stem}")
                    if path.suffix == ".py"
                    else _plain(path, self.sources.text(path))
                )

    # -- roots --------------------------------------------------------------------------------------

    @cached_property
    def _checks(self) -> dict[str, tuple[Definition, ...]]:
        return self._functions("check_")

    @cached_property
    def _rehearsed(self) -> dict[str, tuple[Definition, ...]]:
        return self._functions("rehearse_")

    def _fixtures(self, function: Definition) -> Iterator[Definition]:
        """The fixtures of its own file that a function is given, by the names of its parameters."""
        module = self.sources.module(function.module)
        bindings = module.bindings if module else {}
        for statement in bindings.get(function.name, ()):
            if isinstance(statement, ast.FunctionDef):
                names = (argument.arg for argument in statement.args.args)
                yield from (Definition(function.module, name) for name in names if name in bindings)

    def _functions(self, kind: str) -> dict[str, tuple[Definition, ...]]:
        """The functions of the suite's checks of this kind, by the name behind it."""
        found: dict[str, tuple[Definition, ...]] = {}
        for name in self.sources.names():
            module = self.sources.module(name) if name.startswith(f"{SUITE}.checks.check_") else None
            for one in module.bindings if module else ():
                if one.startswith(kind):
                    check = one.removeprefix(kind)
                    found[check] = (*found.get(check, ()), Definition(name, one))
        return found

    @cached_property
    def _families(self) -> dict[str, tuple[Target, ...]]:
        """The rules of each family as they are registered; what ``exceptions`` finds comes of the waivers."""
        module = self.sources.module(FAMILIES.module)
        assert module
        (statement,) = module.bindings[FAMILIES.name]
        tables = (node for node in ast.walk(statement) if isinstance(node, ast.Dict))
        table = next(tables)
        found: dict[str, tuple[Target, ...]] = {"exceptions": ()}
        for key, rules in zip(table.keys, table.values, strict=True):
            assert key
            used = Blind(self.sources, FAMILIES.module).tokens(rules)
            found[ast.literal_eval(key)] = tuple(one for one in used if isinstance(one, Definition))
        return found


def _plain(path: Path, text: str) -> str:
    """What a data file says: JSON whatever its blanks, of settings the lines that are no comment."""
    if path.suffix == ".json":
        return json.dumps(json.loads(text), sort_keys=True)
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
