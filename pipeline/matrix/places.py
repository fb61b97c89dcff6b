"""What the file names that lies beside it: keys of signers, a user's tests, prompts for a user's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.matrix.fields import shown
from pipeline.matrix.tree import Problem
from pipeline.model import is_users

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.matrix.schema import File
    from pipeline.matrix.tree import Tree

TESTS = "tests/images"
"""Where a user's tests are looked for unless the matrix names another folder."""

_FROM_HERE = "paths start at this file"


def tests_of(file: File, path: Path) -> Path | None:
    """The folder of the user's tests: the one that is named, or the one beside the file if it has any."""
    beside = path.parent / (file.verify.tests or TESTS)
    return beside if file.verify.tests or _has_tests(beside) else None


def prompts_of(file: File, path: Path) -> tuple[Path, ...]:
    """The files of prompts, by name."""
    if file.verify.prompts is None:
        return ()
    named = path.parent / file.verify.prompts
    return tuple(sorted(named.glob("*.jsonl"))) if named.is_dir() else (named,)


def wrong(file: File, path: Path, tree: Tree) -> Iterator[Problem]:
    """Problems with what ought to lie there."""
    yield from _absent_signers(file, path, tree)
    yield from _absent_tests(file, path, tree)
    yield from _absent_prompts(file, path, tree)
    yield from _unknown_left_out(file, path, tree)


def _absent_signers(file: File, path: Path, tree: Tree) -> Iterator[Problem]:
    for index, signer in enumerate(file.verify.signers):
        if not (path.parent / signer).is_file():
            place = tree.place(("verify", "signers", index))
            yield Problem(place, f"verify.signers: there is no file {shown(signer)}", _FROM_HERE)


def _absent_tests(file: File, path: Path, tree: Tree) -> Iterator[Problem]:
    named = file.verify.tests
    if named is None or _has_tests(path.parent / named):
        return
    is_there = (path.parent / named).is_dir()
    what = f"{shown(named)} has no file test_….py" if is_there else f"there is no folder {shown(named)}"
    yield Problem(tree.place(("verify", "tests")), f"verify.tests: {what}", _FROM_HERE)


def _absent_prompts(file: File, path: Path, tree: Tree) -> Iterator[Problem]:
    named, place = file.verify.prompts, tree.place(("verify", "prompts"))
    if named is None:
        return
    files = prompts_of(file, path)
    if not files:
        yield Problem(place, f"verify.prompts: {shown(named)} has no file ….jsonl", _FROM_HERE)
    elif not all(prompts.is_file() for prompts in files):
        yield Problem(place, f"verify.prompts: there is no file {shown(named)}", _FROM_HERE)
    if file.verify.model is None:
        what = "verify.prompts: there is no verify.model whose answers they are"
        yield Problem(place, what, "name the model too: the tiny one has golden answers of its own")


def _unknown_left_out(file: File, path: Path, tree: Tree) -> Iterator[Problem]:
    tests, prompts = tests_of(file, path), [each.name for each in prompts_of(file, path)]
    for index, rule in enumerate(file.leave_out):
        for number, name in enumerate(rule.checks):
            if not is_users(name):
                continue
            place = name.partition(":")[2].partition("::")[0]
            is_known = place in prompts or (tests and (tests / f"{place}.py").is_file())
            if not is_known:
                what = f"leave_out.checks: {shown(name)} is no test of yours: there is no {place}.py"
                at = tree.place(("leave_out", index, "checks", number))
                yield Problem(at, what, f"they lie in {tests or path.parent / TESTS}")


def _has_tests(folder: Path) -> bool:
    return folder.is_dir() and next(folder.rglob("test_*.py"), None) is not None
