"""What both gates ask of scans: whether there is one that does, and what it tells of, by today's policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import Attestations, Demand, Exposure, ScanTerms, Threat, Tolerated
from pipeline.stages import gate
from tests.builders import FINISHED, INPUTS, NOW, REPOSITORY, exposure, rfc3339, scanned
from tests.unit.stages.deployed_image import GOOD, TAG
from tests.unit.stages.deployed_image import IMAGE as DEPLOYED
from tests.unit.stages.deployed_image import POLICY as DEPLOYMENT
from tests.unit.stages.test_gate import CELL, IMAGE, POLICY, proof

if TYPE_CHECKING:
    from pipeline.model import Reason, Scanned

TERMS = ScanTerms(7, Demand(Threat.MEDIUM))
OLD = rfc3339(NOW - timedelta(days=8))
WEAK: dict[str, Any] = {"exposures": (exposure(),)}
SAID = f"{CELL.id}: "


def published(*scans: Scanned, terms: ScanTerms | None = TERMS) -> tuple[Reason, ...]:
    beside = Attestations((proof(),), GOOD.attestations.certificates, scans=scans)
    policy = replace(POLICY, scan=terms)
    return gate.decide(
        CELL, IMAGE, REPOSITORY, beside, policy=policy, basis=None, inputs=INPUTS, now=NOW
    ).reasons


def deployed(*scans: Scanned, terms: ScanTerms | None = TERMS) -> tuple[Reason, ...]:
    beside = replace(GOOD.attestations, scans=scans)
    policy = replace(DEPLOYMENT, scan=terms)
    return gate.accept(DEPLOYED, DEPLOYED, beside, policy=policy, tags=[TAG], now=NOW).reasons


GATES = pytest.mark.parametrize("judged", [published, deployed])


@GATES
def test_a_policy_that_asks_for_none_hears_none(judged: Any) -> None:
    assert judged(terms=None) == judged(scanned(**WEAK), terms=None) == ()


@GATES
def test_a_new_scan_of_all_that_finds_nothing_is_all_that_is_asked(judged: Any) -> None:
    assert judged(scanned()) == ()


@GATES
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modified": OLD}, "knows of weaknesses until 2029-12-25, 8 days ago; 7 are allowed"),
        ({"made": OLD}, "knows of weaknesses until 2029-12-25, 8 days ago; 7 are allowed"),
        ({"modified": ""}, "does not say how new its advisories are"),
        ({"made": rfc3339(NOW + timedelta(hours=1))}, "lies in the future"),
        ({"uncovered": ("Debian:12",)}, "was made without any advisory of Debian:12"),
    ],
    ids=["old advisories", "old", "of no day", "of tomorrow", "not of all packages"],
)
def test_a_scan_that_cannot_know_is_none(judged: Any, changes: dict[str, Any], words: str) -> None:
    (reason,) = judged(scanned(**changes))
    assert reason.code == "no-scan"
    assert words in reason.text


@GATES
def test_without_a_scan_the_answer_is_no(judged: Any) -> None:
    (reason,) = judged()
    assert reason.code == "no-scan"
    assert "scan" in reason.hint


@GATES
def test_a_weakness_is_named_with_its_package_and_its_remedy(judged: Any) -> None:
    (reason,) = judged(scanned(**WEAK))
    assert reason.code == "weakness"
    assert reason.text.removeprefix(SAID) == "numpy 1.0 has CVE-2030-1 (high), fixed in 1.1"


@GATES
@pytest.mark.parametrize(
    ("one", "demand"),
    [
        (exposure(threat=Threat.LOW), Demand(Threat.MEDIUM)),
        (exposure(fixed=""), Demand(fixable=True)),
        (exposure(told="2030-01-01"), Demand(leeway=7)),
        (
            exposure(),
            Demand(tolerated=(Tolerated(frozenset({"CVE-2030-1"}), ("num*",), NOW.date(), "not called"),)),
        ),
    ],
    ids=["low", "not fixed", "new", "accepted"],
)
def test_what_the_policy_accepts_refuses_nothing(judged: Any, one: Exposure, demand: Demand) -> None:
    assert judged(scanned(exposures=(one,)), terms=ScanTerms(7, demand)) == ()


@GATES
@pytest.mark.parametrize(
    ("one", "demand"),
    [
        (exposure(fixed=None), Demand(fixable=True)),
        (exposure(told=""), Demand(leeway=7)),
        (exposure(told="2030-01-03"), Demand(leeway=7)),
        (exposure(threat=Threat.UNRATED), Demand(Threat.CRITICAL)),
    ],
    ids=["whether fixed", "since when", "since a day to come", "how bad"],
)
def test_what_nobody_says_is_held_against_it(judged: Any, one: Exposure, demand: Demand) -> None:
    (reason,) = judged(scanned(exposures=(one,)), terms=ScanTerms(7, demand))
    assert reason.code == "weakness"


def test_what_was_accepted_when_it_was_scanned_is_judged_by_the_policy_of_today() -> None:
    (reason,) = published(scanned(exposures=(exposure(spared="it was accepted"),)))
    assert reason.code == "weakness"


@GATES
def test_a_newer_scan_says_that_a_weakness_is_gone(judged: Any) -> None:
    before = scanned(made=rfc3339(NOW - timedelta(hours=1)), **WEAK)
    assert judged(before, scanned()) == ()
    (reason,) = judged(scanned(made=rfc3339(NOW - timedelta(hours=1))), scanned(**WEAK))
    assert reason.code == "weakness"


@GATES
def test_a_newer_scan_of_less_hides_nothing_and_its_weaknesses_count(judged: Any) -> None:
    before = rfc3339(NOW - timedelta(hours=1))
    less: dict[str, Any] = {"uncovered": ("Debian:12",)}
    assert judged(scanned(made=before), scanned(**less)) == ()
    assert [one.code for one in judged(scanned(made=before, **WEAK), scanned(**less))] == ["weakness"]
    assert [one.code for one in judged(scanned(made=before), scanned(**less, **WEAK))] == ["weakness"]


@GATES
def test_of_many_weaknesses_the_worst_are_named_and_the_others_counted(judged: Any) -> None:
    many = [exposure(f"CVE-2030-{number}", threat=Threat.MEDIUM) for number in range(20)]
    reasons = judged(scanned(exposures=(*many, exposure("CVE-2030-99", threat=Threat.CRITICAL))))
    assert "CVE-2030-99 (critical)" in reasons[0].text
    assert len(reasons) == gate.MAX_ERRORS + 1
    assert reasons[-1].text.removeprefix(SAID) == f"{21 - gate.MAX_ERRORS} weaknesses more"


def test_the_decision_names_the_scan_that_counted() -> None:
    counted, less = scanned(), scanned(uncovered=("PyPI",), made=rfc3339(NOW))
    beside = Attestations((proof(),), GOOD.attestations.certificates, scans=(less, counted))
    for terms, named in ((TERMS, counted), (None, None)):
        decision = gate.decide(
            CELL,
            IMAGE,
            REPOSITORY,
            beside,
            policy=replace(POLICY, scan=terms),
            basis=None,
            inputs=INPUTS,
            now=NOW,
        )
        assert decision.allowed
        assert decision.scanned == named
    assert counted.scan.made == FINISHED
