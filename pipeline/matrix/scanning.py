"""``scan:``, of a matrix and of a policy: which weaknesses refuse an image, and how old its scan may be."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.matrix.cell_rules import Section, Some
from pipeline.matrix.fields import Day, PackageGlob, Reason, WeaknessId
from pipeline.model import Demand, ScanTerms, Threat, Tolerated


class Accepted(Section):
    """Weaknesses that are known and accepted for a while."""

    ids: Annotated[tuple[WeaknessId, ...], Some]
    """What they are called: `CVE-2026-12345`, or the id of an advisory."""
    packages: Annotated[tuple[PackageGlob, ...], Some] = ("*",)
    """Only in these packages, by name or as a glob; of Debian's it is the source."""
    expires: Day
    """The last day on which that counts, quoted."""
    reason: Reason
    """Why they may stay; `scan` shows it."""
    justification: (
        Literal[
            "component_not_present",
            "vulnerable_code_not_present",
            "vulnerable_code_not_in_execute_path",
            "vulnerable_code_cannot_be_controlled_by_adversary",
            "inline_mitigations_already_exist",
        ]
        | None
    ) = None
    """Why the image is not affected, in a word of OpenVEX; left out: it is, and `reason` says why it may."""


class Scanning(Section):
    """Which weaknesses refuse an image that is scanned. What has no rating does, whatever is asked."""

    max_age_days: Annotated[int, Field(ge=1, le=365)] | None = None
    """How old the signed scan may be without which no gate allows an image; left out: none is asked for."""
    severity: Literal["low", "medium", "high", "critical"] = "low"
    """The least threat that refuses it."""
    unfixed: Literal["refuse", "accept"] = "refuse"
    """Whether one does that no version has fixed."""
    leeway: Annotated[int, Field(ge=0, le=365)] = 0
    """For how many days none does after it was told of."""
    exceptions: Annotated[tuple[Accepted, ...], Field(max_length=1000)] = ()
    """What is accepted for a while, each with its reason and its end."""


def demand_of(rules: Scanning) -> Demand:
    """Which weaknesses refuse an image."""
    return Demand(
        threat=Threat[rules.severity.upper()],
        fixable=rules.unfixed == "accept",
        leeway=rules.leeway,
        tolerated=tuple(
            Tolerated(
                ids=frozenset(rule.ids),
                packages=rule.packages,
                expires=date.fromisoformat(rule.expires),
                reason=rule.reason,
                justification=rule.justification or "",
            )
            for rule in rules.exceptions
        ),
    )


def terms_of(rules: Scanning | None) -> ScanTerms | None:
    """The scan that a gate asks for; None where it asks for none."""
    if rules is None or rules.max_age_days is None:
        return None
    return ScanTerms(rules.max_age_days, demand_of(rules))


def entry_of(terms: ScanTerms) -> dict[str, Any]:
    """Such terms as they are written."""
    demand = terms.demand
    return {
        "max_age_days": terms.max_age_days,
        "severity": demand.threat.word,
        "unfixed": "accept" if demand.fixable else "refuse",
        "leeway": demand.leeway,
        "exceptions": [
            {
                "ids": sorted(rule.ids),
                "packages": list(rule.packages),
                "expires": rule.expires.isoformat(),
                "reason": rule.reason,
                **({"justification": rule.justification} if rule.justification else {}),
            }
            for rule in demand.tolerated
        ],
    }
