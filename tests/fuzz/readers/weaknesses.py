"""Advisories, and bills of materials that somebody else may have written: what a scan reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.adapters import advisories
from pipeline.formats import vulns
from pipeline.model import Demand, Document, DocumentKind, Present
from pipeline.report import scanned
from pipeline.runner import scanning
from pipeline.stages import scan
from tests.fuzz.reader import Reader, put, zipped

if TYPE_CHECKING:
    from pathlib import Path

PRESENT = (
    Present("PyPI", "torch", "2.13.0+cpu", "torch 2.13.0+cpu"),
    Present("Debian:12", "openssl", "3.0.15-1~deb12u1", "libssl3 3.0.15-1~deb12u1"),
)


def _advisory(ecosystem: str, name: str, *versions: str) -> bytes:
    first, fixed, last = versions
    events = [{"introduced": first}, {"fixed": fixed}, {"introduced": fixed}, {"last_affected": last}]
    return json.dumps(
        {
            "id": "A-1",
            "modified": "2026-11-01T00:00:00Z",
            "aliases": ["CVE-2026-1"],
            "summary": "it leaks",
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "affected": [
                {
                    "package": {"ecosystem": ecosystem, "name": name},
                    "ranges": [{"type": "ECOSYSTEM", "events": events}],
                    "versions": [first, last],
                    "ecosystem_specific": {"urgency": "low"},
                }
            ],
        }
    ).encode()


ADVISORIES = (
    _advisory("PyPI", "torch", "2.0", "2.12", "2.13"),
    _advisory("Debian:12", "openssl", "0", "1:3.0~rc1-1", "3.0.15-1~deb12u1"),
)
BILL = json.dumps(
    {
        "bomFormat": "CycloneDX",
        "components": [
            {"name": "torch", "purl": "pkg:pypi/torch@2.13.0%2Bcpu"},
            {"purl": "pkg:deb/debian/libssl3@3.0.15-1?arch=amd64&distro=debian-12&upstream=openssl%403.0"},
        ],
    }
).encode()


def _scanned(place: Path) -> str:
    export = advisories.read([place], {package.ecosystem for package in PRESENT})
    now = datetime(2026, 11, 28, tzinfo=UTC)
    return scanned.text_of(scan.scan("image", "", PRESENT, export, Demand(), now=now))


def read_advisory(data: bytes, place: Path) -> object:
    put(place / "osv", "a.json", data)
    return _scanned(place / "osv")


def read_bill(data: bytes, place: Path) -> object:
    for number, advisory in enumerate(ADVISORIES):
        put(place / "osv", f"{number}.json", advisory)
    document = Document(DocumentKind.CYCLONEDX, "", "", data.decode("utf-8", "replace"))
    return scanning.of_bill("image", document, "", scanning.Ask([place / "osv"], Demand()))


def read_result(data: bytes, place: Path) -> object:
    file = put(place, "result.json", data)
    found = scanning.of_result("image", f"sha256:{'a' * 64}", file, Demand(leeway=3))
    return scanned.text_of(found), found.modified and found.as_of, vulns.written(found)


VDR = json.dumps(
    {
        "bomFormat": "CycloneDX",
        "metadata": {
            "timestamp": "2026-11-01T00:00:00Z",
            "tools": {"components": [{"name": "a scanner", "version": "1.0"}]},
        },
        "components": [{"bom-ref": "1", "name": "torch", "purl": "pkg:pypi/torch@2.13.0"}],
        "vulnerabilities": [
            {
                "id": "GHSA-1",
                "references": [{"id": "CVE-2026-1"}],
                "ratings": [{"severity": "high", "score": 7.5}],
                "published": "2026-10-01T00:00:00Z",
                "description": "it leaks",
                "affects": [{"ref": "1"}, {"ref": "2"}],
            },
            {"id": "CVE-2026-2", "analysis": {"state": "not_affected"}},
        ],
    }
).encode()
VULNS = json.dumps(
    {
        "predicateType": vulns.PREDICATE,
        "predicate": {
            "scanner": {
                "uri": "pkg:github/a/scanner",
                "db": {"lastUpdate": "2026-11-01T00:00:00Z"},
                "result": [
                    {"id": "CVE-2026-1", "severity": [{"method": "nvd", "score": "7.5"}]},
                    {"id": "CVE-2026-2", "annotations": [{"package": "a", "fixed": "1"}]},
                ],
            },
            "metadata": {"scanFinishedOn": "2026-11-01T00:00:00Z"},
        },
    }
).encode()


READERS = (
    Reader("advisory", read_advisory, ADVISORIES),
    Reader(
        "zip of advisories",
        lambda data, place: _scanned(put(place, "all.zip", data)),
        (zipped(**{"a.json": ADVISORIES[0], "b.json": ADVISORIES[1]}),),
    ),
    Reader("bill of materials", read_bill, (BILL,)),
    Reader("result of a scanner", read_result, (VDR, VULNS)),
)
