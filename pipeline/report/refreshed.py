"""What a refresh changed, as the text of a pull request and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.compat.rows import Artefact

    Changed = tuple[str, str, str]
    """A cell's id, its verdict before and its verdict now."""

SCHEMA = 1

_OF_THE_FILE = {"file", "sha256", "size"}
"""Fields that say only that another wheel stands for the release now."""


@dataclass(frozen=True)
class Difference:
    """One release on one machine whose row has changed: each field with its old and its new value."""

    row: Artefact
    fields: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True)
class Summary:
    """What is new, what is different, and the cells of the matrix for which that makes a difference."""

    new: tuple[Artefact, ...]
    different: tuple[Difference, ...]
    changed: tuple[Changed, ...] = ()


def summary(before: Sequence[Artefact], rows: Sequence[Artefact], changed: Sequence[Changed] = ()) -> Summary:
    """What these rows have that those before did not."""
    old = {_key(row): row for row in before}
    return Summary(
        tuple(row for row in rows if _key(row) not in old),
        tuple(
            Difference(row, fields)
            for row in rows
            if _key(row) in old and (fields := tuple(_fields(old[_key(row)], row)))
        ),
        tuple(changed),
    )


def markdown(changes: Summary) -> str:
    """The text of a pull request."""
    if not (changes.new or changes.different or changes.changed):
        return "The index has nothing new.\n"
    parts = ["Read from the artefacts on the index by `nox -s refresh`."]
    for package in dict.fromkeys(row.package for row in changes.new):
        rows = sorted(
            (row for row in changes.new if row.package == package), key=lambda row: Version(row.version)
        )
        parts.append(f"## New: {package}\n\n{_table(_HEAD, [_cells(row) for row in rows])}")
    if changes.different:
        parts.append("## Different\n\n" + "\n".join(map(_line, changes.different)))
    if changes.changed:
        parts.append(f"## Cells with another verdict\n\n{_table(('cell', 'before', 'now'), changes.changed)}")
    elif changes.new or changes.different:
        parts.append("No cell of the matrix gets another verdict.")
    return "\n\n".join(parts) + "\n"


def as_json(changes: Summary) -> dict[str, Any]:
    """The same for programs."""
    return {
        "schema": SCHEMA,
        "new": [asdict(row) for row in changes.new],
        "different": [
            {
                "package": difference.row.package,
                "version": difference.row.version,
                "machine": difference.row.machine,
                "fields": {name: {"before": old, "now": new} for name, old, new in difference.fields},
            }
            for difference in changes.different
        ],
        "changed": [{"cell": cell, "before": old, "now": new} for cell, old, new in changes.changed],
    }


def _key(row: Artefact) -> tuple[str, str, str]:
    return row.package, row.version, row.machine


def _fields(old: Artefact, new: Artefact) -> Iterator[tuple[str, Any, Any]]:
    old_values = asdict(old)
    for name, value in asdict(new).items():
        if name != "read_from" and value != old_values[name]:
            yield name, old_values[name], value


_HEAD = ("release", "machine", "released", "CUDA", "torch", "Python", "architectures", "glibc", "remark")


def _cells(row: Artefact) -> tuple[str, ...]:
    torch = next(
        (pin.partition("==")[2].partition(";")[0] for pin in row.pins if pin.startswith("torch==")), ""
    )
    pythons = f"{row.pythons[0]} to {row.pythons[-1]}" if row.pythons else ""
    archs = " ".join(arch.removeprefix("sm_") for arch in row.archs or ())
    release = (row.version, row.machine, row.released or "", row.cuda or "", torch)
    return (*release, pythons, archs, row.glibc, _remark(row))


def _remark(row: Artefact) -> str:
    """What a reviewer should not overlook."""
    remarks = ["yanked"] if row.yanked else []
    if row.damaged:
        remarks.append(f"damaged: {row.damaged}")
    if row.glibc_seen and Version(row.glibc_seen) > Version(row.glibc):
        remarks.append(f"needs glibc {row.glibc_seen}, whatever its tag says")
    if row.max_gcc:
        remarks.append(f"takes gcc up to {row.max_gcc}")
    return "; ".join(remarks)


def _line(difference: Difference) -> str:
    row, fields = difference.row, difference.fields
    texts = [f"{name} {_text(old)} → {_text(new)}" for name, old, new in fields if name not in _OF_THE_FILE]
    if any(name == "sha256" for name, _, _ in fields):
        texts.append("another wheel stands for it")
    return f"- {row.package} {row.version} {row.machine}: {'; '.join(texts)}"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
