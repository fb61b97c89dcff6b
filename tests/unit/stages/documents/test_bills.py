"""One inventory in two formats, each as its specification has it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from pipeline.model import BILLS, DocumentKind
from pipeline.stages import documents
from tests.unit.stages.documents.bills import (
    BASH,
    CUBLAS,
    EACH,
    LIBC,
    NAMED,
    TORCH,
    TZDATA,
    WHEEL,
    bill,
    bill_of,
)


def cyclonedx(given: Any = EACH) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(documents.written(given, DocumentKind.CYCLONEDX).text)
    return value


def spdx(given: Any = EACH) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(documents.written(given, DocumentKind.SPDX).text)
    return value


def component(name: str) -> dict[str, Any]:
    return next(one for one in cyclonedx()["components"] if one["name"] == name)


def package(name: str) -> dict[str, Any]:
    return next(one for one in spdx()["packages"] if one["name"] == name)


@pytest.mark.parametrize("given", [EACH, bill(), bill_of()])
def test_cyclonedx_is_as_its_schema_has_it(given: Any) -> None:
    """By the schema of CycloneDX 1.6, in which no unknown member is allowed; of an empty image too."""
    text = documents.written(given, DocumentKind.CYCLONEDX).text
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


@pytest.mark.parametrize("given", [EACH, bill(), bill_of()])
def test_spdx_is_as_its_specification_has_it(given: Any) -> None:
    """Its rules for what this document holds; sections 6, 7, 10 and 11 of SPDX 2.3.

    https://spdx.github.io/spdx-spec/v2.3/. By hand its own library, spdx-tools 0.8.5, found nothing either.
    """
    document = spdx(given)
    packages, ids = document["packages"], [one["SPDXID"] for one in document["packages"]]
    assert (document["spdxVersion"], document["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    assert document["SPDXID"] == "SPDXRef-DOCUMENT"
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", document["documentNamespace"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["creationInfo"]["created"])
    assert all(
        re.fullmatch(r"(Tool|Person|Organization): .+", one) for one in document["creationInfo"]["creators"]
    )
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", one) for one in ids)
    for one in packages:
        assert one["name"]
        assert one["downloadLocation"] == "NOASSERTION"
        assert one["filesAnalyzed"] is False
        assert "" not in one.values()
        assert all(re.fullmatch("[0-9a-f]{64}", each["checksumValue"]) for each in one.get("checksums", ()))
    declared = " ".join(one.get("licenseDeclared", "") for one in packages)
    extracted = {one["licenseId"] for one in document.get("hasExtractedLicensingInfos", ())}
    assert set(re.findall(r"LicenseRef-\S+", declared)) == extracted
    for one in document["relationships"]:
        assert {one["spdxElementId"], one["relatedSpdxElement"]} <= {*ids, "SPDXRef-DOCUMENT"}
    described = [one for one in document["relationships"] if one["relationshipType"] == "DESCRIBES"]
    assert [one["relatedSpdxElement"] for one in described] == ["SPDXRef-image"]


def test_both_say_the_same_of_each_package() -> None:
    """Name, version and package URL, which is what others look up."""
    named = {(one["name"], one["version"], one["purl"]) for one in cyclonedx()["components"]}
    others = {
        (one["name"], one["versionInfo"], one["externalRefs"][0]["referenceLocator"])
        for one in spdx()["packages"]
        if one["SPDXID"] != "SPDXRef-image"
    }
    assert named == others
    assert {(one.name, one.version) for one in EACH.packages} == {one[:2] for one in named}


def test_package_urls_are_those_that_scanners_look_up() -> None:
    """A Debian package's source is in it where it is called otherwise: advisories name sources."""
    purls = {
        one.name: PackageURL.from_string(component(one.name)["purl"]) for one in (TORCH, BASH, LIBC, TZDATA)
    }
    assert purls["torch"] == PackageURL("pypi", name="torch", version="2.13.0+cu130")
    common = {"arch": "amd64", "distro": "debian-12"}
    assert purls["libc6"].qualifiers == {**common, "upstream": "glibc"}
    assert purls["tzdata"].qualifiers == {"arch": "all", "distro": "debian-12"}
    assert purls["bash"].qualifiers == {**common, "upstream": "bash@5.2-2"}


def test_the_hash_is_the_wheels_where_a_lock_tells() -> None:
    assert component("torch")["hashes"] == [{"alg": "SHA-256", "content": WHEEL.sha256}]
    assert package("torch")["checksums"] == [{"algorithm": "SHA256", "checksumValue": WHEEL.sha256}]
    assert "hashes" not in component(CUBLAS.name)
    assert "checksums" not in package(CUBLAS.name)


def test_a_licence_that_is_no_expression_is_asserted_by_nobody() -> None:
    """It is told by its name in CycloneDX and in a comment in SPDX."""
    assert component(NAMED.name)["licenses"] == [{"license": {"name": "BSD License"}}]
    assert package(NAMED.name)["licenseDeclared"] == "NOASSERTION"
    assert package(NAMED.name)["licenseComments"].endswith("BSD License")
    assert package(TORCH.name)["licenseDeclared"] == "BSD-3-Clause"


def test_the_image_is_named_by_its_digest() -> None:
    assert cyclonedx()["metadata"]["component"]["version"] == EACH.digest
    assert package("127.0.0.1:5000/tagproof/vllm")["versionInfo"] == EACH.digest


def test_what_was_not_read_stands_in_both() -> None:
    (unread,) = EACH.unread
    assert unread in [one["value"] for one in cyclonedx()["metadata"]["properties"]]
    assert spdx()["comment"] == unread


@pytest.mark.parametrize("kind", BILLS)
def test_the_same_bill_is_the_same_text(kind: DocumentKind) -> None:
    assert documents.written(EACH, kind) == documents.written(EACH, kind)


def test_provenance_is_no_bill() -> None:
    with pytest.raises(ValueError, match="no bill of materials"):
        documents.written(EACH, DocumentKind.PROVENANCE)
