"""What the exceptions of a matrix say of an image's weaknesses, as OpenVEX."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

from pipeline.model import Demand, Document, Present, Tolerated
from pipeline.stages import documents
from tests.builders import IMAGE, NUMPY, REPOSITORY, exposure, scan

PUBLISHED = REPOSITORY.at(IMAGE.ref.digest)
TODAY, MOMENT = date(2030, 1, 2), "2030-01-02T03:04:05+00:00"
KNOWN = Tolerated(frozenset({"CVE-2030-1"}), ("*",), date(2030, 2, 1), "we read no such file")
NOT_AFFECTED = replace(KNOWN, justification="vulnerable_code_not_in_execute_path")
OPENSSL = Present("Debian:12", "openssl", "3.0.15-1", "libssl3 3.0.15-1")


def vex(*rules: Tolerated, today: date = TODAY, moment: str = MOMENT, **changes: Any) -> Document:
    found = scan(exposures=(exposure(ids=("CVE-2030-1", "GHSA-1"), **changes), exposure("CVE-2030-2")))
    return documents.vex(PUBLISHED, found, Demand(tolerated=rules), moment, "us", today=today)


def statements(*rules: Tolerated, **more: Any) -> list[dict[str, Any]]:
    made = json.loads(vex(*rules, **more).text)["statements"]
    assert isinstance(made, list)
    return made


def test_a_justified_exception_says_that_the_image_is_not_affected() -> None:
    (said,) = statements(NOT_AFFECTED)
    assert said["vulnerability"] == {"name": "CVE-2030-1", "aliases": ["GHSA-1"]}
    assert (said["status"], said["justification"]) == ("not_affected", NOT_AFFECTED.justification)
    assert said["impact_statement"] == "we read no such file (until 2030-02-01)"


def test_any_other_says_that_it_is_and_why_that_is_borne() -> None:
    (said,) = statements(KNOWN)
    assert (said["status"], said["action_statement"]) == (
        "affected",
        "we read no such file (until 2030-02-01)",
    )
    assert "justification" not in said


def test_one_that_has_ended_and_one_of_another_package_say_nothing() -> None:
    assert statements(KNOWN, today=date(2030, 2, 2)) == []
    assert statements(replace(KNOWN, packages=("torch",))) == []


def test_the_product_is_the_image_and_the_package_in_it() -> None:
    (python,), (debian,) = statements(KNOWN), statements(KNOWN, package=OPENSSL)
    (product,) = python["products"]
    assert product["@id"].startswith("pkg:oci/")
    assert IMAGE.ref.digest.hex in product["@id"]
    assert product["subcomponents"] == [{"@id": f"pkg:pypi/numpy@{NUMPY.version}"}]
    (package,) = debian["products"][0]["subcomponents"]
    assert package["@id"] == "pkg:deb/debian/libssl3@3.0.15-1?distro=debian-12&upstream=openssl%403.0.15-1"


def test_a_package_that_no_url_is_known_of_is_named_as_it_is_shown() -> None:
    other = Present("", "left-pad", "1.0", "left-pad 1.0")
    (said,) = statements(KNOWN, package=other)
    assert said["products"][0]["subcomponents"] == [{"@id": "left-pad 1.0"}]


def test_it_is_kept_where_it_says_something_new() -> None:
    nothing, something = vex(), vex(KNOWN)
    assert documents.says_no_more(nothing, None)
    assert not documents.says_no_more(something, None)
    assert documents.says_no_more(vex(KNOWN, moment="2030-01-09T00:00:00+00:00"), something)
    assert not documents.says_no_more(vex(NOT_AFFECTED), something)
    assert not documents.says_no_more(nothing, something)


def test_it_is_of_openvex() -> None:
    whole = json.loads(vex(KNOWN).text)
    assert whole["@context"] == "https://openvex.dev/ns/v0.2.0"
    assert (whole["author"], whole["timestamp"], whole["version"]) == ("us", MOMENT, 1)
    assert whole["@id"].startswith("urn:")
