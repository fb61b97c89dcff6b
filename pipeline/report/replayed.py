"""A record that was tried again: each check then and now, and whether it is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.report.text import line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Replay


def text_of(replay: Replay) -> str:
    """For a terminal."""
    return "\n".join(_lines(replay)) + "\n"


def _lines(replay: Replay) -> Iterator[str]:
    width = max(len(one.name) for one in replay.checks)
    for one in replay.checks:
        was = one.was or "not in the record"
        now = one.check.outcome if one.check else "not in this suite"
        yield f"{one.name:{width}}  {was} -> {now}{'  DIFFERS' if one.differs else ''}"
        if one.check and one.check.expected:
            yield f"  expected: {line(printable(one.check.expected))}"
            yield f"  seen:     {line(printable(one.check.seen))}"
    yield from replay.notes
    differing = [one.name for one in replay.checks if one.differs]
    yield f"another outcome: {', '.join(differing)}" if differing else "the same outcome"
