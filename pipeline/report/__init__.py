"""The outcome, for people and for programs: table, Markdown, JUnit, JSON, and one failure in full.

Absence is never reported as success: only a check that was seen to pass counts as passed, and a cell
that could not be proven here is pending. rich is imported by what draws, so that a plan starts fast.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from pipeline.adapters import files
from pipeline.model import KEPT, Outcome, ReasonCode, State, certifies, to_json
from pipeline.report import outliers, scope
from pipeline.report.diagnosed import brief as brief_diagnosis
from pipeline.report.text import brief, escaped, line, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

    from pipeline.model import Check, Status
    from pipeline.model.diagnoses import Diagnosis

_NONE: Mapping[str, str] = MappingProxyType({})

SCHEMA = 1
"""The number of the JSON report's schema."""

LOG_LINES = 30
"""Lines of the server's log that a failure shows."""

_COLUMNS = ("cell", "state", "checks", "tags", "seconds", "reason")
_STYLES = {
    State.PUBLISHED: "green",
    State.PROVEN: "green",
    State.FAILED: "bold red",
    State.INCONCLUSIVE: "yellow",
    State.IMPOSSIBLE: "dim",
}


# -- the summary, one row for each cell -------------------------------------------------------------


def table(statuses: Iterable[Status]) -> Table:
    """The summary for a terminal; print it with rich."""
    from rich.table import Table  # noqa: PLC0415 - rich takes as long to load as a plan takes to make
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        drawn.add_column(
            column, overflow="fold", justify="right" if column in {"checks", "seconds"} else "left"
        )
    for status in statuses:
        cell, state, *rest, reason = _row(status)
        style = "cyan" if status.pending else _STYLES.get(status.state, "")
        texts = (*rest, brief(reason))  # in full it stands in the failure, and in Markdown
        drawn.add_row(Text(cell), Text(state, style=style), *map(Text, texts))
    return drawn


def markdown(statuses: Iterable[Status]) -> str:
    """The summary as a Markdown table; below it what stands out, and how far each record goes."""
    statuses = tuple(statuses)
    rule = ("---", "---", "---:", "---", "---:", "---")
    rows = (map(escaped, _row(status)) for status in statuses)
    drawn = "".join(f"| {' | '.join(cells)} |\n" for cells in (_COLUMNS, rule, *rows))
    scopes = (
        scope.markdown(status.cell.id, certifies(status.record)) for status in statuses if status.record
    )
    warnings = (f"\n{escaped(warning)}\n" for warning in outliers.lines(statuses))
    return "".join((drawn, *warnings, *scopes))


def scope_of(status: Status) -> tuple[str, ...]:
    """What the record of a row certifies and what it does not, in sentences; none where it has no record."""
    return tuple(scope.sentences(certifies(status.record))) if status.record else ()


def _row(status: Status) -> tuple[str, ...]:
    seconds = sum(seconds for _, seconds in status.seconds)
    return (
        status.cell.id,
        f"{status.state} (pending)" if status.pending else str(status.state),
        _counted(status),
        " ".join(status.tags) or "-",
        f"{seconds:.1f}" if status.seconds else "-",
        line(why(status)) or _steps(status) or "-",
    )


def _counted(status: Status) -> str:
    if status.record is None:
        return "-"
    return f"{len(status.record.named(Outcome.PASSED))}/{len(status.record.checks)}"


def why(status: Status) -> str:
    """Why the cell is not further: what it waits for, what is against it, or which checks did not pass."""
    if status.pending:
        return f"pending: {status.waiting}"
    if status.reasons:
        return "; ".join(reason.text for reason in status.reasons)
    return ", ".join(f"{check.name} {check.outcome}" for check in _not_passed(status))


def _steps(status: Status) -> str:
    """The steps that would be taken next."""
    return f"to do: {' '.join(status.steps)}" if status.steps else ""


def _not_passed(status: Status) -> tuple[Check, ...]:
    """The checks that speak against the image."""
    checks = status.record.checks if status.record else ()
    return tuple(check for check in checks if check.outcome not in {Outcome.PASSED, Outcome.NOT_RUN})


def _failed_rehearsing(status: Status) -> tuple[Check, ...]:
    """The checks of the rehearsal that refuses the image, if one does."""
    is_refused = any(reason.code == ReasonCode.REHEARSAL_FAILED for reason in status.reasons)
    return status.rehearsal.not_passed if status.rehearsal and is_refused else ()


def _diagnoses(status: Status) -> tuple[Diagnosis, ...]:
    """The causes of its failures, each once: one server that does not come up fails many checks."""
    checks = (*_failed_rehearsing(status), *_not_passed(status))
    return tuple({check.diagnosis.id: check.diagnosis for check in checks if check.diagnosis}.values())


# -- for machines -----------------------------------------------------------------------------------


def as_json(statuses: Iterable[Status]) -> str:
    """All statuses as JSON, with the number of the schema, and the cells that stand out."""
    statuses = tuple(statuses)
    document = {
        "schema": SCHEMA,
        "cells": [*map(_as_json, statuses)],
        "outliers": to_json(outliers.outliers(statuses)),
    }
    return json.dumps(document, indent=2) + "\n"


def _as_json(status: Status) -> dict[str, Any]:
    """One row, and how far its record goes."""
    return {**to_json(status), "certifies": to_json(certifies(status.record)) if status.record else None}


def junit(status: Status) -> str:
    """JUnit XML of one cell: a suite named by its id, a case for each check.

    What failed is a failure, in a rehearsal too; what was inconclusive is an error. A cell that is pending,
    or that has no record, holds no passed case at all.
    """
    suite = ET.Element("testsuite", name=status.cell.id)
    if status.record is not None and not status.pending:
        suite.set("timestamp", status.record.started.removesuffix("Z"))
        for check in status.record.checks:
            _check_case(suite, check.name, check)
    for check in _failed_rehearsing(status):
        _check_case(suite, f"rehearsed {check.name}", check)
    if status.pending:
        _skip(_case(suite, "verify"), status.waiting)
    elif status.reasons:
        _refusal(_case(suite, "gate"), status)
    elif status.record is None:
        _unproven(_case(suite, "verify"), status)
    for name, tag in (
        ("tests", "testcase"),
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ):
        suite.set(name, str(sum(1 for _ in suite.iter(tag))))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in suite):.3f}")
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, name: str, seconds: float = 0) -> ET.Element:
    where = suite.get("name", "")
    return ET.SubElement(suite, "testcase", classname=where, name=name, time=f"{seconds:.3f}")


def _check_case(suite: ET.Element, name: str, check: Check) -> None:
    case = _case(suite, name, check.seconds)
    if check.outcome is Outcome.PASSED:
        return
    if check.outcome is Outcome.NOT_RUN:
        _skip(case, check.seen)
        return
    kind = "failure" if check.outcome is Outcome.FAILED else "error"
    element = ET.SubElement(case, kind, message=line(check.seen)[:500] or str(check.outcome))
    known = f"\n{brief_diagnosis(check.diagnosis)}" if check.diagnosis else ""
    element.text = printable(f"expected: {check.expected}\nseen: {check.seen}{known}")


def _skip(case: ET.Element, reason: str) -> None:
    ET.SubElement(case, "skipped", message=line(reason))


def _refusal(case: ET.Element, status: Status) -> None:
    kind = "error" if status.state is State.INCONCLUSIVE else "failure"
    element = ET.SubElement(case, kind, message=line(why(status))[:500])
    element.text = printable("\n".join(str(reason) for reason in status.reasons))


def _unproven(case: ET.Element, status: Status) -> None:
    if status.state in {State.FAILED, State.INCONCLUSIVE}:
        kind = "failure" if status.state is State.FAILED else "error"
        ET.SubElement(case, kind, message=str(status.state)).text = printable(status.log_tail)
    else:
        _skip(case, f"not proven: {status.state}")


# -- one failure in full ----------------------------------------------------------------------------


def failure(status: Status) -> str:
    """All that is needed to act on a failure: what was expected and seen, the log's end, the next command."""
    parts = [f"{status.cell.id}: {status.state}"]
    for check in (*_failed_rehearsing(status), *_not_passed(status)):
        parts.append(f"check {check.name}: {check.outcome}")
        parts.append(_indented("expected: ", check.expected) + "\n" + _indented("seen:     ", check.seen))
        if place := check.facts.get(KEPT):
            parts.append(_indented("kept:     ", f"{place}, beside the log in .state/logs"))
    parts += [_indented("", str(reason)) for reason in status.reasons]
    parts += map(brief_diagnosis, _diagnoses(status))
    if status.log_tail.strip():
        lines = printable(status.log_tail).rstrip().splitlines()[-LOG_LINES:]
        parts.append("the server's log ended:\n" + "\n".join(f"  | {ending}" for ending in lines))
    parts.append(f"run just this again:\n  {status.again or _again(status)}")
    if status.record and status.record.replay:
        parts.append(f"try the very same again, and compare:\n  {status.record.replay}")
    return "\n".join(parts) + "\n"


def _again(status: Status) -> str:
    return f"python -m pipeline verify {status.cell.id}"


def _indented(label: str, text: str) -> str:
    blank = " " * (len(label) + 2)
    return f"  {label}" + f"\n{blank}".join(printable(text).splitlines() or ["-"])


# -- files ------------------------------------------------------------------------------------------


def write(statuses: Sequence[Status], folder: Path, notes: Mapping[str, str] = _NONE) -> tuple[Path, ...]:
    """Write report.md, report.json and junit/<cell>.xml into the folder; returns their paths.

    ``notes`` are what changed with a publication, by cell, as Markdown: notes/<cell>.md. Each file appears
    whole or not at all. Files of cells that are not in this report are removed: they would be taken for what
    this run has done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cells, changes = files.folder(folder, "junit"), files.folder(folder, "notes")
    pages = {
        folder / "report.md": markdown(statuses),
        folder / "report.json": as_json(statuses),
        **{cells / f"{status.cell.id}.xml": junit(status) for status in statuses},
        **{changes / f"{cell}.md": text for cell, text in notes.items()},
    }
    for path, text in pages.items():
        files.write(path, text.encode())
    for stale in {*cells.glob("*.xml"), *changes.glob("*.md")} - pages.keys():
        stale.unlink(missing_ok=True)
    return tuple(pages)
