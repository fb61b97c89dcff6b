"""A bill of materials as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), by CycloneDX's own library."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6

from pipeline.model import PROJECT, PackageKind
from pipeline.stages.documents import purls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Bill, Licence, Package


def text_of(bill: Bill) -> str:
    """The bill as JSON; the same bill is the same text."""
    image = _image(bill)
    components = [_component(package, bill.system) for package in bill.packages]
    tool = Component(name=PROJECT, version=version(PROJECT), type=ComponentType.APPLICATION)
    bom = Bom(
        serial_number=uuid5(NAMESPACE_URL, f"{bill.image} {bill.digest} {bill.created}"),
        components=components,
        metadata=BomMetaData(
            timestamp=datetime.fromisoformat(bill.created),
            tools=ToolRepository(components=[tool]),
            component=image,
            properties=[Property(name=f"{PROJECT}:unread", value=text) for text in bill.unread],
        ),
    )
    bom.register_dependency(image, components)
    return JsonV1Dot6(bom).output_as_string()


def _image(bill: Bill) -> Component:
    purl = purls.of_bill(bill)
    return Component(
        type=ComponentType.CONTAINER,
        name=bill.image.partition("@")[0] if purl else bill.image,
        version=bill.digest or None,
        bom_ref="image",
        purl=purl,
    )


def _component(package: Package, system: tuple[str, str]) -> Component:
    purl = purls.of_package(package, system)
    component = Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=str(purl),
        purl=purl,
        licenses=[_licence(package.licence)] if package.licence else [],
        properties=_properties(package),
    )
    if package.wheel:
        component.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=package.wheel.sha256))
    return component


def _licence(licence: Licence) -> LicenseExpression | DisjunctiveLicense:
    if licence.is_expression:
        return LicenseExpression(licence.text)
    return DisjunctiveLicense(name=licence.text)


def _properties(package: Package) -> Iterator[Property]:
    """What CycloneDX has no field for: where it lies, its wheel, what it was built from."""
    for path in package.found_in:
        yield Property(name=f"{PROJECT}:path", value=path)
    if package.wheel:
        yield Property(name=f"{PROJECT}:wheel", value=package.wheel.filename)
    if package.kind is PackageKind.DEBIAN:
        yield Property(name=f"{PROJECT}:source", value=f"{package.source} {package.source_version}")
