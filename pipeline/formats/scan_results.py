"""What another scanner found in an image, as it writes it: CycloneDX with vulnerabilities, or in-toto's type.

https://cyclonedx.org/docs/1.6/json/#vulnerabilities has the first. The older type of cosign's own, which
holds a scanner's whole report, is neither.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from packageurl import PackageURL
from pydantic import BaseModel, Field, ValidationError

from pipeline.formats import ratings, vulns
from pipeline.formats.bills import of_purl
from pipeline.formats.moments import in_utc
from pipeline.formats.vulns import InvalidScanError
from pipeline.model import Exposure, Present, Scan, Threat

MAX_BYTES = 64 << 20
"""Of one result."""

_NOT_AFFECTED = frozenset({"not_affected", "false_positive", "resolved", "resolved_with_pedigree"})
"""Analyses of CycloneDX by which the image does not have the weakness."""

_MAX = 100_000
_Text = Annotated[str, Field(max_length=20_000)]
_Name = Annotated[str, Field(max_length=1000)]


class _Tool(BaseModel):
    name: _Name = ""
    version: _Name = ""


class _Tools(BaseModel):
    components: tuple[_Tool, ...] = ()


class _Metadata(BaseModel):
    timestamp: _Name
    tools: _Tools | tuple[_Tool, ...] = ()


class _Component(BaseModel):
    ref: _Name = Field("", alias="bom-ref")
    name: _Name = ""
    version: _Name = ""
    purl: _Name = ""


class _Rating(BaseModel):
    severity: _Name = ""
    score: float | None = None


class _Reference(BaseModel):
    id: _Name = ""


class _Affects(BaseModel):
    ref: _Name


class _Analysis(BaseModel):
    state: _Name = ""


class _Vulnerability(BaseModel):
    id: Annotated[_Name, Field(min_length=1)]
    references: tuple[_Reference, ...] = ()
    ratings: tuple[_Rating, ...] = ()
    published: _Name = ""
    description: _Text = ""
    affects: Annotated[tuple[_Affects, ...], Field(max_length=_MAX)] = ()
    analysis: _Analysis = _Analysis()

    @property
    def threat(self) -> Threat:
        """The worst rating that it has."""
        words = (ratings.of_word(one.severity) for one in self.ratings)
        scores = (ratings.of_score(one.score) for one in self.ratings if one.score is not None)
        return max((one for one in (*words, *scores) if one is not None), default=Threat.UNRATED)


class _CycloneDX(BaseModel):
    metadata: _Metadata
    components: Annotated[tuple[_Component, ...], Field(max_length=_MAX)] = ()
    vulnerabilities: Annotated[tuple[_Vulnerability, ...], Field(max_length=_MAX)]


def read(text: str, digest: str) -> Scan:
    """The scan of the image with this digest. Raises InvalidScanError.

    Nobody says whether a version has a weakness fixed, where the scanner does not; nor, in CycloneDX, how new
    its advisories were: they count as of the scan.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidScanError("is no JSON") from error
    if not isinstance(value, dict):
        raise InvalidScanError("is no object of JSON")
    if value.get("bomFormat") == "CycloneDX":
        return _of_cyclonedx(value, digest)
    predicate = value.get("predicate") if value.get("predicateType") in vulns.PREDICATES else value
    if not isinstance(predicate, dict) or "scanner" not in predicate:
        raise InvalidScanError("is neither CycloneDX nor a scan in in-toto's type")
    return vulns.read(predicate, digest)


def _of_cyclonedx(value: dict[str, Any], digest: str) -> Scan:
    try:
        found = _CycloneDX.model_validate(value)
        made = in_utc(found.metadata.timestamp)
    except (ValidationError, ValueError, RecursionError) as error:
        raise InvalidScanError("has no weaknesses in CycloneDX, or does not say when it was made") from error
    tools = found.metadata.tools
    listed = tools.components if isinstance(tools, _Tools) else tools
    tool = next(iter(listed), _Tool())
    packages = {component.ref: _package(component) for component in found.components}
    return Scan(
        image=digest,
        digest=digest,
        signer="",
        packages=len(found.components),
        source="",
        modified=made,
        exposures=tuple(
            _exposure(told, packages.get(affected.ref) or Present("", affected.ref, "", affected.ref))
            for told in found.vulnerabilities
            if told.analysis.state not in _NOT_AFFECTED
            for affected in told.affects or (_Affects(ref="an unnamed package"),)
        ),
        made=made,
        scanner=(tool.name or "another scanner", tool.version),
    )


def _package(component: _Component) -> Present:
    try:
        known = of_purl(PackageURL.from_string(component.purl))
    except ValueError:
        known = None
    shown = f"{component.name} {component.version}".strip()
    return known or Present("", component.name, component.version, shown)


def _exposure(told: _Vulnerability, package: Present) -> Exposure:
    return Exposure(
        id=told.id,
        ids=tuple(dict.fromkeys((told.id, *(one.id for one in told.references if one.id)))),
        package=package,
        threat=told.threat,
        fixed=None,
        told=told.published[:10],
        summary=" ".join(told.description.split())[:300],
    )
