"""A scan in in-toto's type: what is written is read again, what others write as far as it goes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.formats import vulns
from pipeline.model import Exposure, Scan, Threat
from tests.builders import NUMPY, exposure, scan

DIGEST = scan().digest
MADE = "2030-01-02T03:03:05+00:00"
words = some.text(some.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=10)
exposures = some.builds(
    exposure,
    words,
    ids=some.just(()),
    threat=some.sampled_from(Threat),
    fixed=some.sampled_from([None, "", "1.2"]),
    told=some.sampled_from(["", "2029-01-02"]),
).map(lambda one: replace(one, ids=(one.id, "GHSA-1")))


@given(some.lists(exposures, max_size=4), some.lists(words, max_size=2), some.sampled_from(["", MADE]))
def test_what_is_written_is_read_again(found: list[Exposure], places: list[str], modified: str) -> None:
    whole = scan(
        made=MADE,
        modified=modified,
        exposures=tuple(found),
        uncovered=tuple(places),
        unclear=tuple(places),
        scanner=("a scanner", "1.0"),
    )
    assert vulns.read(json.loads(json.dumps(vulns.written(whole))), DIGEST) == whole


def test_what_was_spared_is_written_without_that() -> None:
    """Whoever reads it has terms of their own."""
    spared = vulns.written(scan(exposures=(exposure(spared="we do not call it", summary="it leaks"),)))
    assert vulns.read(spared, DIGEST).exposures == (exposure(),)


def others(*results: Any, **changes: Any) -> dict[str, Any]:
    scanner = {"uri": "pkg:github/a/scanner", "db": {"lastUpdate": "2030-01-01T00:00:00Z"}, "result": results}
    return {"scanner": scanner, "metadata": {"scanFinishedOn": "2030-01-02T00:00:00Z"}, **changes}


def read(*results: Any, **changes: Any) -> Scan:
    return vulns.read(others(*results, **changes), DIGEST)


@pytest.mark.parametrize(
    ("scores", "threat"),
    [
        (["5.2"], Threat.MEDIUM),
        (["medium", "9.1"], Threat.CRITICAL),
        (["Moderate"], Threat.MEDIUM),
        (["none"], Threat.NONE),
        (["0.0"], Threat.NONE),
        (["nan"], Threat.UNRATED),
        (["-1"], Threat.UNRATED),
        (["11"], Threat.UNRATED),
        (["terrible"], Threat.UNRATED),
        ([], Threat.UNRATED),
    ],
    ids=str,
)
def test_a_rating_is_a_word_or_a_number_and_the_worst_counts(scores: list[str], threat: Threat) -> None:
    severity = [{"method": "nvd", "score": score} for score in scores]
    (found,) = read({"id": "CVE-1", "severity": severity}).exposures
    assert found.threat is threat


def test_what_another_scanner_does_not_say_is_not_known() -> None:
    (found,) = read({"id": "CVE-1"}).exposures
    assert (found.fixed, found.told, found.package.name) == (None, "", "")
    assert read().uncovered == ()


def test_a_scanner_is_named_and_a_time_is_told_in_utc() -> None:
    found = read(metadata={"scanFinishedOn": "2030-01-02T02:00:00+02:00"})
    assert (found.scanner, found.made) == (("pkg:github/a/scanner", ""), "2030-01-02T00:00:00+00:00")
    assert found.as_of.isoformat() == "2030-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "value",
    [
        {},
        others(metadata={}),
        others(metadata={"scanFinishedOn": "2030-01-02T00:00:00"}),
        others(metadata={"scanFinishedOn": "yesterday"}),
        others({}),
        others({"id": ""}),
        others({"id": "CVE-1", "severity": "high"}),
        others(scanner={"uri": "x", "result": []}),
        others(**{vulns.MEMBER: {"packages": -1}}),
        others(**{vulns.MEMBER: {"not_covered": "Debian"}}),
    ],
    ids=str,
)
def test_anything_else_is_no_scan(value: dict[str, Any]) -> None:
    with pytest.raises(vulns.InvalidScanError):
        vulns.read(value, DIGEST)


def test_two_thousand_weaknesses_fit_into_what_is_read_of_a_bundle() -> None:
    """Those of the headers of Linux alone are so many; base64 makes four bytes of three."""
    package = replace(NUMPY, ecosystem="Debian:12", name="linux", shown="linux-libc-dev 6.1.148-1")
    many = tuple(
        exposure(f"CVE-2030-{number:05}", package=package, fixed="6.1.158-1", ids=(f"CVE-2030-{number:05}",))
        for number in range(2000)
    )
    assert len(json.dumps(vulns.written(scan(exposures=many)))) * 4 / 3 < 0.8 * 2**20
