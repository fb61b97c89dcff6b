"""What a package is called all over the world: package URLs (https://github.com/package-url/purl-spec)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packageurl import PackageURL

from pipeline.model import ImageRef, PackageKind

if TYPE_CHECKING:
    from pipeline.model import Bill, Package, Pin, Present


def of_package(package: Package, system: tuple[str, str]) -> PackageURL:
    """Of a package of an image, whose os-release has this ID and VERSION_ID.

    What scanners look up of Debian's is the source: ``upstream`` names it where it is called otherwise.
    """
    if package.kind is PackageKind.PYTHON:
        return PackageURL("pypi", name=package.name, version=package.version)
    distribution, release = system
    source = package.source if package.source_version == package.version else _source(package)
    qualifiers = {
        "arch": package.architecture,
        "distro": f"{distribution}-{release}" if distribution and release else "",
        "upstream": "" if source == package.name else source,
    }
    return PackageURL(
        "deb",
        namespace=distribution or "debian",
        name=package.name,
        version=package.version,
        qualifiers={name: value for name, value in qualifiers.items() if value},
    )


def of_present(package: Present) -> str:
    """Of a package as advisories look for it; its name and version, where that is of no kind that is known.

    Of Debian's it is the package that the image has: what others look for, with the source beside it.
    """
    system, _, release = package.ecosystem.partition(":")
    if system == "PyPI":
        return str(PackageURL("pypi", name=package.name, version=package.version))
    if system not in ("Debian", "Ubuntu"):
        return package.shown
    name, _, version = package.shown.partition(" ")
    qualifiers = {
        "distro": f"{system.lower()}-{release}" if release else "",
        "upstream": "" if (name, version) == (package.name, package.version) else _upstream(package),
    }
    told = {key: value for key, value in qualifiers.items() if value}
    return str(PackageURL("deb", namespace=system.lower(), name=name, version=version, qualifiers=told))


def _upstream(package: Present) -> str:
    return f"{package.name}@{package.version}"


def of_wheel(pin: Pin) -> PackageURL:
    """Of a wheel of a lock, with the name of its file."""
    return PackageURL("pypi", name=pin.name, version=pin.version, qualifiers={"file_name": pin.filename})


def of_image(ref: ImageRef) -> PackageURL:
    """Of an image in a registry."""
    repository = ref.repository
    name = repository.path.rpartition("/")[2]
    return PackageURL(
        "oci", name=name, version=str(ref.digest), qualifiers={"repository_url": str(repository)}
    )


def of_bill(bill: Bill) -> PackageURL | None:
    """Of the image that a bill is of; None where it lies in no registry."""
    try:
        return of_image(ImageRef.parse(bill.image))
    except ValueError:
        return None


def _source(package: Package) -> str:
    return f"{package.source}@{package.source_version}"
