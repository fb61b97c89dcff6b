"""An audit as lines, as Markdown and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pipeline.model import to_json
from pipeline.report.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.model import Audited


def lines(audited: Sequence[Audited]) -> Iterator[str]:
    """One line for each reference, one for each reason and each note, and the sum."""
    for one in audited:
        yield f"{one.judgement:10}  {one.asked}  {one.image.digest if one.image else '-'}"
        for reason in one.reasons:
            yield f"            {reason.code}: {reason.text}"
        for note in one.notes:
            yield f"            {note}"
    yield summary(audited)


def summary(audited: Sequence[Audited]) -> str:
    """How many are how."""
    counted = Counter(one.judgement for one in audited)
    return f"{len(audited)} looked at: " + ", ".join(f"{count} {name}" for name, count in counted.items())


def markdown(audited: Sequence[Audited]) -> str:
    """A table, for the summary of a job."""
    rows = []
    for one in audited:
        reasons = escaped("; ".join([*(reason.text for reason in one.reasons), *one.notes]))
        rows.append(f"| {one.judgement} | {escaped(one.asked)} | {reasons} |")
    return "\n".join([summary(audited), "", "| judgement | image | reasons |", "|---|---|---|", *rows, ""])


def as_json(audited: Sequence[Audited]) -> dict[str, Any]:
    """The same for programs."""
    return {"good": all(one.is_good for one in audited), "audited": [to_json(one) for one in audited]}
