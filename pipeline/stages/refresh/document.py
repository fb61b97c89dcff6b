"""The file of the facts: one row on a line, in a fixed order, so that its diff is one of artefacts."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.version import Version
from pydantic import TypeAdapter

from pipeline.adapters import files
from pipeline.compat.rows import Artefact
from pipeline.model import shown
from pipeline.model.errors import FactsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SCHEMA = 1
_ROW = TypeAdapter(Artefact)
ABOUT = "Read from the artefacts by nox -s refresh, never edited; pipeline/compat/facts.py explains the rows."


def read(path: Path) -> tuple[Artefact, ...]:
    """The rows of this file; none where there is no such file. Raises FactsError where they are no rows."""
    if not path.exists():
        return ()
    try:
        listed = json.loads(path.read_text("utf-8"))["artefacts"]
        return tuple(map(_row, listed))
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise FactsError(
            f"{path} does not hold facts as refresh writes them: {shown(error)}",
            hint="take it back from the repository, or remove it and read everything again",
        ) from error


def _row(value: dict[str, Any]) -> Artefact:
    """One row, each field of its type and each text of its form. Raises what says otherwise."""
    if unknown := sorted(value.keys() - {field.name for field in fields(Artefact)}):
        raise ValueError(f"unknown fields: {', '.join(unknown)}")
    row = _ROW.validate_python(value)
    Version(row.version)
    for pin in row.pins:
        Requirement(pin)
    return row


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
