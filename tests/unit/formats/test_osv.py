"""Advisories in OSV's format: what is read of them, and what is no advisory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.formats.osv import InvalidAdvisoryError, advisory_of
from pipeline.model import Affected, Event, Threat

PACKAGE = {"ecosystem": "PyPI", "name": "Some.Package"}


def read(**more: Any) -> Any:
    return advisory_of(json.dumps({"id": "A-1", "modified": "2026-11-01T00:00:00Z", **more}).encode())


def test_versions_and_ranges_are_read_and_those_of_commits_are_not() -> None:
    events = [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0", "last_affected": "2.1"}]
    ranges = [
        {"type": "GIT", "repo": "https://example.com", "events": [{"introduced": "0"}]},
        {"type": "ECOSYSTEM", "events": events, "database_specific": {}},
    ]
    advisory = read(affected=[{"package": PACKAGE, "ranges": ranges, "versions": ["1.0", "1.1"]}])
    assert advisory.affected == (
        Affected(
            "PyPI",
            "some-package",
            frozenset({"1.0", "1.1"}),
            (
                (
                    Event("introduced", "0"),
                    Event("fixed", "1.2"),
                    Event("introduced", "2.0"),
                    Event("last_affected", "2.1"),
                ),
            ),
        ),
    )


def test_one_that_was_withdrawn_is_none() -> None:
    assert read(withdrawn="2026-11-02T00:00:00Z") is None


def test_what_others_call_it_is_known_and_its_summary_is_one_line() -> None:
    advisory = read(aliases=["CVE-1"], upstream=["CVE-1", "CVE-2"], summary="one\n  two")
    assert (advisory.aliases, advisory.summary) == (("CVE-1", "CVE-2"), "one two")


V3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
V4 = "CVSS:4.0/AV:L/AC:L/AT:N/PR:L/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N"


@pytest.mark.parametrize(
    ("more", "threat"),
    [
        ({}, Threat.UNRATED),
        ({"severity": [{"type": "CVSS_V3", "score": V3}]}, Threat.CRITICAL),
        ({"severity": [{"type": "CVSS_V4", "score": V4}]}, Threat.MEDIUM),
        ({"severity": [{"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:N/I:N/A:P"}]}, Threat.MEDIUM),
        ({"severity": [{"type": "Ubuntu", "score": "low"}]}, Threat.LOW),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:X"}]}, Threat.UNRATED),
        ({"severity": [{"type": "CVSS_V9", "score": "9"}]}, Threat.UNRATED),
        ({"database_specific": {"severity": "MODERATE"}}, Threat.MEDIUM),
        ({"database_specific": {"severity": 3}}, Threat.UNRATED),
        ({"affected": [{"package": PACKAGE, "ecosystem_specific": {"urgency": "unimportant"}}]}, Threat.LOW),
        (
            {
                "severity": [{"type": "CVSS_V4", "score": V4}],
                "affected": [{"package": PACKAGE, "severity": [{"type": "CVSS_V3", "score": V3}]}],
            },
            Threat.CRITICAL,
        ),
    ],
    ids=str,
)
def test_a_threat_is_the_worst_that_it_gives(more: dict[str, Any], threat: Threat) -> None:
    assert read(**more).threat is threat


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"id": 1, "modified": ""}', b"[" * 100_000])
def test_what_is_no_advisory_is_said(body: bytes) -> None:
    with pytest.raises(InvalidAdvisoryError):
        advisory_of(body)


@pytest.mark.parametrize(
    "modified", ["", "yesterday", "2026-11-01", "2026-11-01T00:00:00", "0001-01-01T00:00:00+23:00"]
)
def test_one_that_does_not_say_when_it_was_modified_is_none(modified: str) -> None:
    """A scan is as old as its advisories."""
    with pytest.raises(InvalidAdvisoryError, match="when it was modified"):
        advisory_of(json.dumps({"id": "A-1", "modified": modified}).encode())
