"""What changed from one image to another: lines, Markdown for a release's notes, and JSON."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from pipeline.formats import units
from pipeline.model import to_json
from pipeline.report.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Change, Difference

_SECTIONS = {
    "package": "Packages",
    "image": "Image",
    "GPU": "GPUs",
    "finding": "Findings",
    "check": "Checks",
    "speed": "Speed",
}


def lines(difference: Difference) -> Iterator[str]:
    """The two images, one line for each change, and what an update pulls."""
    yield f"- {difference.before.image}"
    yield f"+ {difference.after.image}"
    for change in difference.changes:
        yield f"  {change.kind:8} {change.name}: {_way(change)}"
    yield f"  {_sizes(difference)}"


def markdown(difference: Difference) -> str:
    """The same as the notes of a release, a section for each kind of change."""
    parts = [
        f"`{difference.after.image}`, after `{difference.before.image}`.",
        f"{_sizes(difference)[0].upper()}{_sizes(difference)[1:]}.",
    ]
    for kind, changes in groupby(difference.changes, key=lambda change: change.kind):
        rows = [
            f"| {escaped(change.name)} | {escaped(change.before)} | {escaped(change.after)} |"
            for change in changes
        ]
        parts.append("\n".join([f"## {_SECTIONS[kind]}", "", "| | before | now |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def as_json(difference: Difference) -> dict[str, Any]:
    """The same for programs."""
    return {
        "before": str(difference.before.image),
        "after": str(difference.after.image),
        "changes": [to_json(change) for change in difference.changes],
        "new_bytes": difference.new_bytes,
    }


def _way(change: Change) -> str:
    if not change.before:
        return f"{change.after} is new"
    return f"{change.before} is gone" if not change.after else f"{change.before} -> {change.after}"


def _sizes(difference: Difference) -> str:
    before, after = difference.before.certificate.sizes, difference.after.certificate.sizes
    compressed = f"{units.size(before.compressed)} -> {units.size(after.compressed)} compressed"
    installed = f"{units.size(before.installed)} -> {units.size(after.installed)} installed"
    return f"{compressed}, {installed}; an update pulls {units.size(difference.new_bytes)}"
