"""Applies the exceptions of the matrix: each waives findings, with a reason, until a day."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity, WaivedFinding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pipeline.model import Waiver


def apply(
    findings: Sequence[ImageFinding], waivers: Sequence[Waiver], today: date
) -> tuple[tuple[ImageFinding, ...], tuple[WaivedFinding, ...]]:
    """The findings that remain, plus one for each waiver that expired or matches nothing; and those waived.

    A waiver is valid on its last day too.
    """
    valid = [waiver for waiver in waivers if waiver.expires >= today]
    unwaived: list[ImageFinding] = []
    waived: list[WaivedFinding] = []
    used = set()
    for finding in findings:
        waiver = next((waiver for waiver in valid if covers(waiver, finding)), None)
        if waiver is None:
            unwaived.append(finding)
        else:
            used.add(waiver)
            waived.append(
                WaivedFinding(finding=finding, reason=waiver.reason, expires=waiver.expires.isoformat())
            )
    stale = (_stale(waiver, today) for waiver in waivers if waiver not in used)
    return (*unwaived, *stale), tuple(waived)


def covers(waiver: Waiver, finding: ImageFinding) -> bool:
    """Whether this waiver matches the finding."""
    return waiver.rule == finding.rule and fnmatchcase(finding.path, waiver.path)


def _stale(waiver: Waiver, today: date) -> ImageFinding:
    is_over = waiver.expires < today
    ended = f"ended on {waiver.expires}" if is_over else "matches nothing"
    return ImageFinding(
        rule="exceptions",
        severity=Severity.WARNING,
        path=waiver.path if waiver.path.startswith("/") else "",
        text=f"the exception from {waiver.rule} for {waiver.path} {ended}",
        why=f"it was made because: {waiver.reason}",
        hint="check whether it still holds, then give it a new day or remove it" if is_over else "remove it",
    )
