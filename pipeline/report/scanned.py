"""A scan for people: a line for each weakness, the worst first, and the sum; and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pipeline.model import Threat, to_json
from pipeline.report.columns import columns

if TYPE_CHECKING:
    from pipeline.model import Exposure, Scan

_COLUMNS = ("threat", "weakness", "package", "fixed in", "says", "but")


def text_of(scan: Scan) -> str:
    """The table, what could not be compared, and the sum."""
    rows = columns([_COLUMNS, *map(_row, scan.exposures)]) if scan.exposures else ()
    unclear = (f"not compared: {text}" for text in scan.unclear)
    uncovered = (f"not looked for: {one}, of which there is no advisory" for one in scan.uncovered)
    return "".join(f"{line}\n" for line in (*rows, *unclear, *uncovered, summary(scan)))


def summary(scan: Scan) -> str:
    """How many weaknesses there are, of which threat, in how many packages, by advisories of which day."""
    counted = Counter(one.threat for one in scan.exposures)
    ranked = (threat for threat in sorted(Threat, reverse=True) if counted[threat])
    worst = ", ".join(f"{counted[threat]} {threat.word}" for threat in ranked)
    said = f"{len(scan.exposures)} weaknesses ({worst})" if worst else "no weakness is known"
    day = scan.modified[:10] or "nobody knows which day"
    refuses = f", {len(scan.refuses)} of them refuse it" if worst else ""
    return f"{scan.image}: {said} in {scan.packages} packages{refuses}, by advisories until {day}"


def as_json(scan: Scan) -> dict[str, Any]:
    """The same for programs."""
    exposures = [{**to_json(one), "threat": one.threat.word} for one in scan.exposures]
    return {**to_json(scan), "exposures": exposures}


def _row(one: Exposure) -> tuple[str, ...]:
    return (
        one.threat.word,
        one.id,
        one.package.shown,
        "?" if one.fixed is None else one.fixed or "-",
        one.summary[:60] or "-",
        one.spared or "-",
    )
