"""What a bill of materials in CycloneDX's JSON names, as advisories look for it."""

from __future__ import annotations

import json

import pytest

from pipeline.formats.bills import InvalidBillError, present_in
from pipeline.model import Present


def named(*purls: object) -> tuple[Present, ...]:
    return present_in(json.dumps({"components": [{"purl": purl} for purl in purls]}))


def test_a_distribution_is_looked_for_by_its_normal_name() -> None:
    assert named("pkg:pypi/Some.Package@1.0%2Bcpu") == (
        Present("PyPI", "some-package", "1.0+cpu", "some.package 1.0+cpu"),
    )


@pytest.mark.parametrize(
    ("purl", "present"),
    [
        (
            "pkg:deb/debian/libssl3@3.0.15-1?arch=amd64&distro=debian-12&upstream=openssl",
            Present("Debian:12", "openssl", "3.0.15-1", "libssl3 3.0.15-1"),
        ),
        (
            "pkg:deb/debian/libgcc-s1@12.2.0-14?distro=debian-12&upstream=gcc-12%4012.2.0-14%2Bb1",
            Present("Debian:12", "gcc-12", "12.2.0-14+b1", "libgcc-s1 12.2.0-14"),
        ),
        (
            "pkg:deb/ubuntu/bash@5.1?distro=ubuntu-22.04",
            Present("Ubuntu:22.04", "bash", "5.1", "bash 5.1"),
        ),
        ("pkg:deb/debian/bash@5.2", Present("Debian", "bash", "5.2", "bash 5.2")),
    ],
    ids=["a source", "a source of another version", "Ubuntu", "no release"],
)
def test_a_debian_package_is_looked_for_by_its_source(purl: str, present: Present) -> None:
    assert named(purl) == (present,)


def test_what_is_there_twice_is_looked_for_once_and_what_nobody_tells_of_is_not() -> None:
    purl = "pkg:pypi/a@1"
    assert len(named(purl, purl, "pkg:npm/a@1", "pkg:pypi/a", "pkg:deb/acme/a@1", "a", None, 3)) == 1


@pytest.mark.parametrize("text", ["", "[]", '{"components": {}}', '{"components": 3}', "[" * 100_000])
def test_what_is_no_bill_is_said(text: str) -> None:
    with pytest.raises(InvalidBillError):
        present_in(text)
