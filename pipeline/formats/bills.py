"""The packages that a CycloneDX document names, as advisories look for them (by their package URLs)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from packageurl import PackageURL
from packaging.utils import canonicalize_name

from pipeline.formats.osv import PYPI
from pipeline.model import Present

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSTEMS = {"debian": "Debian", "ubuntu": "Ubuntu"}
"""What OSV calls the distributions whose packages are Debian's, by the ID of os-release."""

_MAX = 100_000
"""Components of one document that are read."""


class InvalidBillError(ValueError):
    """A text is no bill of materials that can be read; the message says why."""


def present_in(text: str) -> tuple[Present, ...]:
    """What CycloneDX's JSON names, each once: Python's distributions, Debian's and Ubuntu's packages.

    What has no package URL, or one of another kind, is not looked for. Raises InvalidBillError.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidBillError("is no JSON") from error
    components = document.get("components", []) if isinstance(document, dict) else None
    if not isinstance(components, list) or len(components) > _MAX:
        raise InvalidBillError("has no list of components that can be read")
    return tuple(dict.fromkeys(one for component in components for one in _present(component)))


def _present(component: Any) -> Iterator[Present]:
    purl = component.get("purl") if isinstance(component, dict) else None
    if not isinstance(purl, str):
        return
    try:
        found = of_purl(PackageURL.from_string(purl))
    except ValueError:
        return
    if found:
        yield found


def of_purl(purl: PackageURL) -> Present | None:
    """A package as advisories name it, by its package URL; None for one that none is looked for of."""
    if purl.version and purl.type == "pypi":
        return Present(PYPI, canonicalize_name(purl.name), purl.version, f"{purl.name} {purl.version}")
    if purl.version and purl.type == "deb" and purl.namespace in _SYSTEMS:
        return _debian(purl)
    return None


def _debian(found: PackageURL) -> Present:
    """By the source that it was built from: ``upstream`` names that, and its version, where it is another."""
    qualifiers = found.qualifiers if isinstance(found.qualifiers, dict) else {}
    name, _, version = qualifiers.get("upstream", "").partition("@")
    release = qualifiers.get("distro", "").partition("-")[2]
    system = _SYSTEMS[str(found.namespace)]
    return Present(
        f"{system}:{release}" if release else system,
        name or found.name,
        version or str(found.version),
        f"{found.name} {found.version}",
    )
