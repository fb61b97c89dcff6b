"""What is said of an environment, for people: the verdict, what mends it, why, and what was not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Level
from pipeline.report.explained import reasons
from pipeline.report.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.environment import Judgement
    from pipeline.compat.environment.mending import Change


def text_of(judgement: Judgement) -> str:
    """The judgement as lines of text."""
    parts = [[judgement.summary]]
    if judgement.commands:
        parts.append(list(_mending(judgement)))
    elif judgement.level is Level.IMPOSSIBLE:
        parts.append(["no change of a few packages was found that mends it: make a new environment"])
    told = [finding for finding in judgement.verdict.findings if finding.level is not Level.OK]
    if told:
        parts.append(["why:", *reasons(told)])
    parts.append(list(_looked_at(judgement)))
    return printable("\n\n".join("\n".join(part) for part in parts)) + "\n"


def _mending(judgement: Judgement) -> Iterator[str]:
    what = f", {counted(len(judgement.changes), 'package')}" if judgement.changes else ""
    yield f"the smallest change that mends it{what}:"
    yield from map(_change, judgement.changes)
    yield from (f"  $ {command}" for command in judgement.commands)


def _change(change: Change) -> str:
    return f"  {change.name} {change.before} → {change.after or 'none'}"


def _looked_at(judgement: Judgement) -> Iterator[str]:
    """What was judged, what an installer chooses, and what was not looked at: silence is no approval."""
    if judgement.known:
        yield "judged: " + ", ".join(f"{name} {version}" for name, version in judgement.known)
    if judgement.unpinned:
        names = ", ".join(f"{name}{bounds}" for name, bounds in judgement.unpinned)
        yield f"not pinned, so an installer chooses: {names}"
    yield from (f"not read: {part}" for part in judgement.unread)
    if judgement.others:
        yield f"not looked at: {counted(judgement.others, 'package')} of which the facts know nothing"
    yield f"from artefacts read on {judgement.read}"
