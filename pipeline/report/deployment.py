"""What was seen of a server that runs already, for a terminal, and its failures in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Outcome
from pipeline.report import scope
from pipeline.report.text import line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import DeploymentRecord


def text_of(record: DeploymentRecord) -> str:
    """What was asked, a line for each check that was made, and how far it goes."""
    return "\n".join(_lines(record)) + "\n"


def failure(record: DeploymentRecord) -> str:
    """What was expected and seen of each check that failed, and the command that asks again."""
    parts = [f"{line(record.url)}: failed"]
    for check in record.checks:
        if check.outcome is Outcome.FAILED:
            parts.append(f"check {check.name}: failed")
            parts.append(f"  expected: {printable(check.expected)}\n  seen:     {printable(check.seen)}")
    return "\n".join([*parts, f"run just this again:\n  {record.replay}\n"])


def _lines(record: DeploymentRecord) -> Iterator[str]:
    says = [record.model or "no model", f"vLLM {record.vllm}" if record.vllm else "vLLM not said"]
    yield line(f"{record.url}: {', '.join(says)}")
    width = max(len(check.name) for check in record.checks)
    for check in record.checks:
        if check.outcome is not Outcome.NOT_RUN:
            yield f"{check.name:{width}}  {check.outcome}  {check.seconds:.1f} s"
    yield from scope.sentences(record.scope)
