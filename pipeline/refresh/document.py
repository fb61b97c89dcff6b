"""The file of the facts: one row on a line, in a fixed order, so that its diff is one of artefacts."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from packaging.version import Version

from pipeline import files
from pipeline.compat.facts import Artefact, row_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SCHEMA = 1
ABOUT = "Read from the artefacts by nox -s refresh, never edited; pipeline/compat/facts.py explains the rows."


def read(path: Path) -> tuple[Artefact, ...]:
    """The rows of this file; none where there is no such file."""
    if not path.exists():
        return ()
    make = row_of(Artefact)
    return tuple(make(row) for row in json.loads(path.read_text("utf-8"))["artefacts"])


def write(path: Path, rows: Iterable[Artefact], day: str) -> bool:
    """Write these rows as read on this day, at once or not at all. False where the file has them already."""
    ordered = in_order(rows)
    if path.exists() and ordered == read(path):
        return False
    files.write(path, text(ordered, day).encode())
    return True


def in_order(rows: Iterable[Artefact]) -> tuple[Artefact, ...]:
    """By package, release and machine."""
    return tuple(sorted(rows, key=lambda row: (row.package, Version(row.version), row.machine)))


def text(rows: Iterable[Artefact], day: str) -> str:
    """The whole file."""
    head = json.dumps({"schema": SCHEMA, "about": ABOUT, "read": day})[:-1]
    lines = ",\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in rows)
    return f'{head}, "artefacts": [\n{lines}\n]}}\n'
