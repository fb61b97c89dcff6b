"""What other scanners write: CycloneDX with vulnerabilities, and in-toto's type, also in its statement."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.formats import scan_results, vulns
from pipeline.formats.vulns import InvalidScanError
from pipeline.model import Scan, Threat
from tests.builders import NUMPY, exposure, scan

DIGEST = scan().digest
TORCH = {"bom-ref": "1", "name": "torch", "version": "2.13.0+cpu", "purl": "pkg:pypi/torch@2.13.0%2Bcpu"}
OPENSSL = {
    "bom-ref": "2",
    "name": "libssl3",
    "purl": "pkg:deb/debian/libssl3@3.0.15-1?arch=amd64&distro=debian-12&upstream=openssl",
}
OTHER = {"bom-ref": "3", "name": "left-pad", "version": "1.0", "purl": "pkg:npm/left-pad@1.0"}


def vdr(*vulnerabilities: dict[str, Any], **changes: Any) -> str:
    whole = {
        "bomFormat": "CycloneDX",
        "metadata": {"timestamp": "2030-01-02T03:04:05Z", "tools": [{"name": "a scanner", "version": "2.0"}]},
        "components": [TORCH, OPENSSL, OTHER],
        "vulnerabilities": vulnerabilities,
    }
    return json.dumps(whole | changes)


def told(*refs: str, **changes: Any) -> dict[str, Any]:
    return {"id": "CVE-2030-1", "affects": [{"ref": ref} for ref in refs], **changes}


def read(*vulnerabilities: dict[str, Any], **changes: Any) -> Scan:
    return scan_results.read(vdr(*vulnerabilities, **changes), DIGEST)


def test_a_weakness_is_one_of_each_package_that_it_affects() -> None:
    found = read(told("1", "2", "3"))
    assert [(one.package.ecosystem, one.package.name) for one in found.exposures] == [
        ("PyPI", "torch"),
        ("Debian:12", "openssl"),
        ("", "left-pad"),
    ]
    assert {one.id for one in found.exposures} == {"CVE-2030-1"}


def test_a_package_that_is_not_listed_is_shown_as_it_is_named() -> None:
    shown = [one.package.shown for one in (*read(told("pkg:x")).exposures, *read(told()).exposures)]
    assert shown == ["pkg:x", "an unnamed package"]


@pytest.mark.parametrize(
    ("ratings", "threat"),
    [
        ([{"severity": "high"}, {"severity": "low"}], Threat.HIGH),
        ([{"score": 9.8}], Threat.CRITICAL),
        ([{"severity": "info"}], Threat.LOW),
        ([{"severity": "unknown"}], Threat.UNRATED),
        ([], Threat.UNRATED),
    ],
    ids=str,
)
def test_the_worst_rating_counts(ratings: list[dict[str, Any]], threat: Threat) -> None:
    assert read(told("1", ratings=ratings)).exposures[0].threat is threat


@pytest.mark.parametrize("state", ["not_affected", "false_positive", "resolved"])
def test_what_the_scanner_says_the_image_does_not_have_is_none(state: str) -> None:
    assert read(told("1", analysis={"state": state})).exposures == ()


def test_what_is_being_looked_at_is_one() -> None:
    assert read(told("1", analysis={"state": "in_triage"})).exposures


def test_who_scanned_and_when_is_known_and_advisories_count_as_of_then() -> None:
    found = read(metadata={"timestamp": "2030-01-02T03:04:05Z", "tools": {"components": [{"name": "trivy"}]}})
    assert found.scanner == ("trivy", "")
    assert found.made == found.modified == "2030-01-02T03:04:05+00:00"
    assert read().scanner == ("a scanner", "2.0")


def test_names_of_one_weakness_and_the_day_are_kept() -> None:
    (one,) = read(told("1", references=[{"id": "GHSA-1"}], published="2029-12-01T00:00:00Z")).exposures
    assert (one.ids, one.told, one.fixed) == (("CVE-2030-1", "GHSA-1"), "2029-12-01", None)


def test_in_totos_type_is_read_with_and_without_its_statement() -> None:
    whole = scan(exposures=(exposure(package=NUMPY),), made="2030-01-02T03:03:05+00:00", modified="")
    predicate = vulns.written(whole)
    statement = {"predicateType": vulns.PREDICATE, "predicate": predicate}
    for text in map(json.dumps, (predicate, statement)):
        assert scan_results.read(text, DIGEST) == whole


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no object"),
        ("{}", "is neither CycloneDX nor"),
        ('{"predicateType": "x", "predicate": {"scanner": {}}}', "is neither CycloneDX nor"),
        (vdr(metadata={}), "does not say when"),
        (vdr(metadata={"timestamp": "2030-01-02T03:04:05"}), "does not say when"),
        (vdr(vulnerabilities=None), "has no weaknesses in CycloneDX"),
        (vdr({"affects": []}), "has no weaknesses in CycloneDX"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_anything_else_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(InvalidScanError, match=words):
        scan_results.read(text, DIGEST)
