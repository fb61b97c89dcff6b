"""What both gates ask of scans: a new one, of all packages, and no weakness that the policy refuses.

One that is old, or not of all packages, speaks for nothing; what it tells of counts all the same, until a
newer one that does says that it is gone: advisories come, and are withdrawn.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from pipeline.model import Reason, ReasonCode
from pipeline.stages.gate.requirements import CLOCK_SKEW, MAX_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pipeline.model import Attestations, Cell, Exposure, Policy, Scanned, ScanTerms

_HINTS = {
    True: "take a version that has it fixed, or accept it for a while under `scan: exceptions:`",
    False: "no version is known to have it fixed: accept it for a while under `scan: exceptions:`",
}


def rescan(cell: Cell) -> str:
    """What has a candidate scanned anew."""
    return f"python -m pipeline scan {cell.id} --candidate --attach --advisories DIR"


def scan_that_counts(beside: Attestations, policy: Policy, now: datetime) -> Scanned | None:
    """The newest scan that is new enough and of all packages, where the policy asks for one."""
    terms = policy.scan
    good = [one for one in beside.scans if terms and not _lack(one, terms, now)]
    return max(good, key=lambda scanned: scanned.order, default=None)


def scan_reasons(
    beside: Attestations, policy: Policy, now: datetime, *, about: str, remedy: str
) -> Iterator[Reason]:
    """Why no scan does, or what scans say against the image, where the policy asks for one.

    A scan says what is known, the policy of today what refuses: what was accepted when it was made counts for
    nothing. ``about`` begins each sentence, ``remedy`` is how a new scan is made.
    """
    terms = policy.scan
    if terms is None:
        return
    counts = scan_that_counts(beside, policy, now)
    newest = max(beside.scans, key=lambda scanned: scanned.order, default=None)
    if counts is None:
        why = f"the scan of {newest.scan.made} {_lack(newest, terms, now)}" if newest else _NONE
        yield Reason(ReasonCode.NO_SCAN, f"{about}{why}", remedy)
    least = counts or newest
    heard = [one for one in beside.scans if least and one.scan.moment >= least.scan.moment]
    refusing = _refusing(heard, terms, now)
    for one in refusing[:MAX_ERRORS]:
        yield Reason(ReasonCode.WEAKNESS, f"{about}{_told(one)}", _HINTS[bool(one.fixed)])
    if more := refusing[MAX_ERRORS:]:
        yield Reason(ReasonCode.WEAKNESS, f"{about}{len(more)} weaknesses more", "`scan` lists them all")


_NONE = "nothing that a trusted key signed says which known weaknesses are in it"


def _lack(scanned: Scanned, terms: ScanTerms, now: datetime) -> str:
    """What a scan lacks, after "the scan of …"; nothing for one that does."""
    scan = scanned.scan
    if scan.uncovered:
        return f"was made without any advisory of {', '.join(scan.uncovered)}"
    if not scan.modified:
        return "does not say how new its advisories are"
    if scan.moment > now + CLOCK_SKEW:
        return "lies in the future"
    if now - scan.as_of > timedelta(days=terms.max_age_days):
        days = (now - scan.as_of).days
        said = f"knows of weaknesses until {scan.as_of:%Y-%m-%d}, {days} days ago"
        return f"{said}; {terms.max_age_days} are allowed"
    return ""


def _refusing(heard: Sequence[Scanned], terms: ScanTerms, now: datetime) -> list[Exposure]:
    """The weaknesses that any of these tells of and the terms refuse today, each once, the worst first."""
    today = now.astimezone(UTC).date()
    told = {
        (one.package.name, one.id): one
        for scanned in heard
        for one in scanned.scan.exposures
        if not terms.demand.spares(one, today)
    }
    return sorted(told.values(), key=lambda one: (-one.threat, one.package.name, one.id))


def _told(one: Exposure) -> str:
    fixed = f", fixed in {one.fixed}" if one.fixed else ""
    return f"{one.package.shown} has {one.id} ({one.threat.word}){fixed}"
