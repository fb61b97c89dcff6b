"""Which advisories are about an image's versions, by OSV's algorithm and each ecosystem's order."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from pipeline.model import Advisory, Affected, Demand, Event, Export, Present, Scan, Threat, Tolerated
from pipeline.stages.scan import scan

PACKAGE = Present("PyPI", "torch", "2.13.0+cpu", "torch 2.13.0+cpu")
OPENSSL = Present("Debian:12", "openssl", "3.0.15-1~deb12u1", "libssl3 3.0.15-1~deb12u1")


def events(text: str) -> tuple[Event, ...]:
    """``"0 !1.2 2.0 =2.1"``: introduced, fixed (!), introduced, last affected (=)."""
    kinds: dict[str, Any] = {"!": "fixed", "=": "last_affected"}
    return tuple(Event(kinds.get(one[0], "introduced"), one.lstrip("!=")) for one in text.split())


def advisory(*ranges: str, package: Present = PACKAGE, versions: str = "", **more: Any) -> Advisory:
    affected = Affected(
        more.pop("ecosystem", package.ecosystem),
        package.name,
        frozenset(versions.split()),
        tuple(events(text) for text in ranges),
    )
    return Advisory(**{"id": "A-1", "modified": "2026-11-01", "affected": (affected,), **more})


TODAY = date(2026, 11, 28)
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def scanned(*advisories: Advisory, package: Present = PACKAGE, **demand: Any) -> Scan:
    export = Export("sha256:1", advisories, "2026-11-01", {})
    return scan("image", "sha256:0", [package], export, Demand(**demand), now=NOW)


@pytest.mark.parametrize(
    ("ranges", "versions", "fixed"),
    [
        (["0"], "", ""),
        (["0 !2.13.1"], "", "2.13.1"),
        (["0 !2.13.0"], "", None),
        (["2.13.0 !2.14.0"], "", "2.14.0"),
        (["0 =2.13.0"], "", ""),
        (["0 =2.12.9"], "", None),
        (["2.13.1"], "", None),
        (["0 !2.12.0 2.12.5 !2.13.5"], "", "2.13.5"),
        (["2.12.5 !2.13.5 !2.12.0 0"], "", "2.13.5"),
        (["0 !2.12.0", "2.13 !2.14"], "", "2.14"),
        ([], "2.13.0", ""),
        ([], "2.13", ""),
        ([], "2.12.0 not-a-version", None),
        (["0 !2.12.0"], "2.13.0", ""),
    ],
    ids=str,
)
def test_a_version_is_affected_as_osv_says(ranges: list[str], versions: str, fixed: str | None) -> None:
    """A build (+cpu) is as affected as its release."""
    found = scanned(advisory(*ranges, versions=versions)).exposures
    assert [one.fixed for one in found] == ([] if fixed is None else [fixed])


@pytest.mark.parametrize(
    ("ranges", "is_affected"),
    [
        ("0 !3.0.15-1~deb12u2", True),
        ("0 !3.0.15-1~deb12u1", False),
        ("0 !3.0.15-1", True),
        ("0 !3.0.9-1", False),
        ("1:0", False),
        ("3.0.14-9", True),
    ],
)
def test_versions_of_debian_are_in_debians_order(ranges: str, is_affected: bool) -> None:
    found = scanned(advisory(ranges, package=OPENSSL), package=OPENSSL).exposures
    assert bool(found) is is_affected


@pytest.mark.parametrize(
    ("here", "told", "is_of"),
    [
        ("Debian:12", "Debian:12", True),
        ("Debian:12", "Debian", True),
        ("Debian:12", "Debian:13", False),
        ("Ubuntu:22.04", "Ubuntu:22.04:LTS", True),
        ("Ubuntu:22.04", "Ubuntu:Pro:22.04:LTS", False),
        ("PyPI", "Debian:12", False),
    ],
)
def test_an_advisory_is_for_its_own_ecosystem(here: str, told: str, is_of: bool) -> None:
    package = Present(here, "a", "1.0", "a 1.0")
    assert bool(scanned(advisory("0", package=package, ecosystem=told), package=package).exposures) is is_of


def test_advisories_of_one_weakness_are_one_with_the_worst_rating_and_the_remedy() -> None:
    found = scanned(
        advisory("0", id="PYSEC-1", aliases=("CVE-2026-1",), threat=Threat.LOW),
        advisory("0 !3.0", id="GHSA-1", aliases=("CVE-2026-1",), threat=Threat.HIGH, summary="it leaks"),
        advisory("0", id="OTHER-1"),
        advisory("0", id="BRIDGE", aliases=("PYSEC-1", "X")),
    ).exposures
    assert [(one.id, one.threat, one.fixed, one.summary) for one in found] == [
        ("OTHER-1", Threat.UNRATED, "", ""),
        ("CVE-2026-1", Threat.HIGH, "3.0", "it leaks"),
    ]
    assert found[1].ids == ("PYSEC-1", "GHSA-1", "BRIDGE", "CVE-2026-1", "X")


def rule(*ids: str, packages: tuple[str, ...] = ("*",), until: date = TODAY) -> dict[str, Any]:
    return {"tolerated": (Tolerated(frozenset(ids), packages, until, "we do not call it"),)}


@pytest.mark.parametrize(
    ("demand", "spared"),
    [
        ({}, ""),
        ({"threat": Threat.MEDIUM}, ""),
        ({"threat": Threat.HIGH}, "less than high"),
        ({"fixable": True}, "no version has it fixed"),
        ({"leeway": 28}, "told of less than 28 days ago"),
        ({"leeway": 27}, ""),
        (rule("CVE-2026-1"), "we do not call it (until 2026-11-28)"),
        (rule("A-1", packages=("numpy", "tor*")), "we do not call it (until 2026-11-28)"),
        (rule("A-1", packages=("numpy",)), ""),
        (rule("CVE-2026-2"), ""),
        (rule("A-1", until=date(2026, 11, 27)), ""),
        ({"fixable": True, **rule("A-1")}, "no version has it fixed; we do not call it (until 2026-11-28)"),
    ],
    ids=str,
)
def test_what_refuses_is_for_the_demand_to_say(demand: dict[str, Any], spared: str) -> None:
    told = advisory("0", threat=Threat.MEDIUM, aliases=("CVE-2026-1",), published="2026-11-01T00:00:00Z")
    found = scanned(told, **demand)
    assert [one.spared for one in found.exposures] == [spared]
    assert bool(found.refuses) is not bool(spared)


def test_what_nobody_has_rated_is_less_than_nothing() -> None:
    assert scanned(advisory("0"), threat=Threat.CRITICAL).refuses


def test_what_cannot_be_compared_is_said_and_counts_for_nothing() -> None:
    found = scanned(advisory("0 !one.two"))
    assert found.exposures == ()
    assert found.unclear == ("A-1 and torch 2.13.0+cpu: Invalid version: 'one.two'",)


@given(integers(0, 9), integers(0, 9), integers(0, 9))
def test_a_version_between_introduced_and_fixed_is_affected_and_no_other(
    a: int, b: int, version: int
) -> None:
    """Where the fixed one is older than the introduced one, that fix came before."""
    package = Present("PyPI", "torch", f"1.{version}", "torch")
    found = scanned(advisory(f"1.{a} !1.{b}"), package=package).exposures
    assert bool(found) is (a <= version and not a <= b <= version)
