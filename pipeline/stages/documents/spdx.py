"""A bill of materials as SPDX 2.3, in JSON (https://spdx.github.io/spdx-spec/v2.3/).

It is written here: the library of SPDX's project brings rdflib and seven more packages to write one page.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from pipeline.model import PROJECT, PackageKind, canonical
from pipeline.stages.documents import purls

if TYPE_CHECKING:
    from pipeline.model import Bill, Package

_NONE = "NOASSERTION"
_DOCUMENT, _IMAGE = "SPDXRef-DOCUMENT", "SPDXRef-image"
_LICENCE_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")


def text_of(bill: Bill) -> str:
    """The bill as canonical JSON; the same bill is the same text."""
    packages = [_package(package, number, bill.system) for number, package in enumerate(bill.packages, 1)]
    declared = " ".join(package["licenseDeclared"] for package in packages)
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": bill.image,
        "documentNamespace": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{bill.image} {bill.digest} {bill.created}')}",
        "creationInfo": {"created": bill.created, "creators": [f"Tool: {PROJECT}-{version(PROJECT)}"]},
        "packages": [_image(bill), *packages],
        "relationships": [
            _relationship(_DOCUMENT, "DESCRIBES", _IMAGE),
            *(_relationship(_IMAGE, "CONTAINS", package["SPDXID"]) for package in packages),
        ],
        "hasExtractedLicensingInfos": [
            {
                "licenseId": name,
                "extractedText": "A package names this licence in its METADATA, and has its text.",
            }
            for name in sorted(set(_LICENCE_REF.findall(declared)))
        ],
        "comment": "; ".join(bill.unread),
    }
    return canonical({name: value for name, value in document.items() if value}).decode()


def _image(bill: Bill) -> dict[str, Any]:
    purl = purls.of_bill(bill)
    value = {
        "SPDXID": _IMAGE,
        "name": bill.image.partition("@")[0] if purl else bill.image,
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "externalRefs": [_external(str(purl))] if purl else [],
        "versionInfo": bill.digest,
        "checksums": [_checksum(bill.digest.removeprefix("sha256:"))] if bill.digest else [],
    }
    return {name: member for name, member in value.items() if member not in ("", [])}


def _package(package: Package, number: int, system: tuple[str, str]) -> dict[str, Any]:
    """A package; a licence that is no expression of SPDX is told in a comment, and asserted by nobody."""
    licence = package.licence
    is_expression = licence is not None and licence.is_expression
    value = {
        "SPDXID": f"SPDXRef-{number}-{package.kind}-{re.sub('[^A-Za-z0-9.-]', '-', package.name)}",
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": licence.text if licence and is_expression else _NONE,
        "licenseComments": f"its METADATA says: {licence.text}" if licence and not is_expression else "",
        "copyrightText": _NONE,
        "externalRefs": [_external(str(purls.of_package(package, system)))],
        "checksums": [_checksum(package.wheel.sha256)] if package.wheel else [],
        "packageFileName": package.wheel.filename if package.wheel else "",
        "sourceInfo": _source(package),
    }
    return {name: member for name, member in value.items() if member not in ("", [])}


def _source(package: Package) -> str:
    if package.kind is PackageKind.DEBIAN:
        return f"built package from: {package.source} {package.source_version}"
    return f"installed in: {', '.join(package.found_in)}"


def _external(purl: str) -> dict[str, str]:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}


def _checksum(value: str) -> dict[str, str]:
    return {"algorithm": "SHA256", "checksumValue": value}


def _relationship(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
