"""How far a record goes, in sentences: what it certifies, and what it leaves open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.report.text import escaped, line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Scope

_SHORT = 19
"""Characters of a digest by which a person knows it again: ``sha256:`` and twelve more."""


def sentences(scope: Scope) -> Iterator[str]:
    """What is certified, what is not, each reason why a check was not run, and why it was tried again."""
    yield _certified(scope)
    if scope.passed:
        yield f"does not certify {', '.join(_beyond(scope))}"
    for reason in dict.fromkeys(reason for _, reason in scope.not_run):
        names = (name for name, its in scope.not_run if its == reason)
        yield f"not run: {', '.join(names)}: {line(reason)}"
    for check, seen in scope.inconclusive:
        yield f"tried again, because the machine failed in {check or 'the suite itself'}: {line(seen)}"


def markdown(name: str, scope: Scope) -> str:
    """The same as a section of a page, under this name."""
    items = "".join(f"- {escaped(sentence)}\n" for sentence in sentences(scope))
    return f"\n### {escaped(name)}\n\n{items}"


def _certified(scope: Scope) -> str:
    if not scope.passed:
        return f"certifies nothing: {', '.join(scope.failed)} did not pass"
    modes = [f"{name} {value}" for name, value in scope.modes]
    parts = [
        f"{_brief(scope.subject)} with the model {_brief(scope.model)}",
        f"on {_machine(scope)}",
        f"in {' and '.join(scope.dtypes)}" if scope.dtypes else "",
        f"by {', '.join(modes)}" if modes else "",
    ]
    return f"certifies {' '.join(filter(None, map(line, parts)))}: {', '.join(scope.checks)}"


def _machine(scope: Scope) -> str:
    if not scope.hardware:
        return "hardware that nobody saw"
    gpus = f"{', '.join(dict.fromkeys(scope.gpus))}, driver {scope.driver}" if scope.gpus else scope.processor
    return f"{scope.hardware} ({gpus})" if gpus else scope.hardware


def _beyond(scope: Scope) -> Iterator[str]:
    """What a pass does not say."""
    if not scope.hardware:
        yield "the hardware behind the address"
    elif scope.hardware.startswith("cpu-"):
        yield f"any GPU, any processor but {scope.hardware.removeprefix('cpu-')}"
    else:
        yield f"any GPU but this, any driver but {line(scope.driver)}"
    yield f"any model but {line(_brief(scope.model))}"
    yield f"any number type but {' and '.join(scope.dtypes)}" if scope.dtypes else "the number type"
    yield from (f"the {name}, which its log does not name" for name in scope.unseen)


def _brief(digest: str) -> str:
    return digest[:_SHORT] if digest.startswith("sha256:") else digest
