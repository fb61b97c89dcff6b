"""A scan for known weaknesses as in-toto's predicate of that type, whichever scanner made it.

https://github.com/in-toto/attestation/blob/main/spec/predicates/vulns_02.md. What it has no member for stands
in the annotations of a weakness, and of the whole scan in one member of ours; others write neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from pipeline.formats import ratings
from pipeline.formats.moments import in_utc
from pipeline.model import PROJECT, Exposure, Present, Scan, Threat

if TYPE_CHECKING:
    from collections.abc import Mapping

PREDICATE = "https://in-toto.io/attestation/vulns/v0.2"
"""The type of the predicate."""

PREDICATES = frozenset({PREDICATE, "https://in-toto.io/attestation/vulns/v0.1"})
"""The types that are read: the example of the older one has its results in the same members."""

MEMBER = f"{PROJECT}_scan"
"""Where a predicate of ours says what the type has no member for."""

_MAX = 20_000
"""Weaknesses of one scan; an image of ten thousand packages has fewer."""
_RATED_BY = "rating"

_Text = Annotated[str, Field(max_length=1000)]
_Texts = Annotated[tuple[_Text, ...], Field(max_length=_MAX)]


class InvalidScanError(ValueError):
    """A predicate holds no scan. The text says why."""


class _Severity(BaseModel):
    score: _Text


class _Result(BaseModel):
    id: Annotated[_Text, Field(min_length=1)]
    severity: Annotated[tuple[_Severity, ...], Field(max_length=100)] = ()
    annotations: Annotated[tuple[dict[_Text, Any], ...], Field(max_length=100)] = ()

    @property
    def notes(self) -> dict[str, str]:
        """All annotations as one table, of what is text in them."""
        pairs = (pair for table in self.annotations for pair in table.items())
        return {name: value[:1000] for name, value in pairs if isinstance(value, str)}


class _Database(BaseModel):
    version: _Text = ""
    lastUpdate: _Text  # noqa: N815 - the predicate's own name


class _Scanner(BaseModel):
    uri: _Text
    version: _Text = ""
    db: _Database
    result: Annotated[tuple[_Result, ...], Field(max_length=_MAX)]


class _Metadata(BaseModel):
    scanFinishedOn: _Text  # noqa: N815 - the predicate's own name


class _Ours(BaseModel):
    packages: Annotated[int, Field(ge=0)] = 0
    bill_signed_by: _Text = ""
    not_covered: _Texts = ()
    not_compared: _Texts = ()


class _Predicate(BaseModel):
    scanner: _Scanner
    metadata: _Metadata
    ours: Annotated[_Ours, Field(alias=MEMBER)] = _Ours()


def written(scan: Scan) -> dict[str, Any]:
    """The predicate of a scan. What the scan spared is in it: whoever reads it has terms of their own."""
    return {
        "scanner": {
            "uri": _uri(scan.scanner[0]),
            "version": scan.scanner[1],
            "db": {"version": scan.source, "lastUpdate": scan.modified},
            "result": [_entry(one) for one in scan.exposures],
        },
        "metadata": {"scanStartedOn": scan.made, "scanFinishedOn": scan.made},
        MEMBER: {
            "packages": scan.packages,
            "bill_signed_by": scan.signer,
            "not_covered": list(scan.uncovered),
            "not_compared": list(scan.unclear),
        },
    }


def read(predicate: Mapping[str, Any], digest: str) -> Scan:
    """The scan of the image with this digest that a predicate holds. Raises InvalidScanError.

    A weakness without a rating that is known here is unrated, and one of which nobody says whether a version
    has it fixed, or since when it is known, says neither.
    """
    try:
        found = _Predicate.model_validate(predicate)
        made = in_utc(found.metadata.scanFinishedOn)
        modified = in_utc(found.scanner.db.lastUpdate) if found.scanner.db.lastUpdate else ""
    except (ValidationError, ValueError, RecursionError) as error:
        raise InvalidScanError("holds no scan in in-toto's type") from error
    return Scan(
        image=digest,
        digest=digest,
        signer=found.ours.bill_signed_by,
        packages=found.ours.packages,
        source=found.scanner.db.version,
        modified=modified,
        exposures=tuple(map(_exposure, found.scanner.result)),
        unclear=found.ours.not_compared,
        made=made,
        scanner=(found.scanner.uri.removeprefix(_uri("")), found.scanner.version),
        uncovered=found.ours.not_covered,
    )


def _uri(scanner: str) -> str:
    return f"urn:scanner:{scanner}"


def _entry(one: Exposure) -> dict[str, Any]:
    """What it says in words is left out: Debian's headers of Linux have thousands, and a bundle its limit."""
    notes = {
        "ecosystem": one.package.ecosystem,
        "package": one.package.name,
        "version": one.package.version,
        "shown": one.package.shown,
        "aliases": " ".join(name for name in one.ids if name != one.id),
        "fixed": one.fixed,
        "told": one.told,
    }
    rated = [] if one.threat is Threat.UNRATED else [{"method": _RATED_BY, "score": one.threat.word}]
    told = {name: value for name, value in notes.items() if value or (name == "fixed" and value == "")}
    return {"id": one.id, "severity": rated, "annotations": [told]}


def _exposure(result: _Result) -> Exposure:
    notes = result.notes
    rated = [rating for one in result.severity if (rating := ratings.of_text(one.score)) is not None]
    name, version = notes.get("package", ""), notes.get("version", "")
    return Exposure(
        id=result.id,
        ids=tuple(dict.fromkeys((result.id, *notes.get("aliases", "").split()))),
        package=Present(notes.get("ecosystem", ""), name, version, notes.get("shown") or f"{name} {version}"),
        threat=max(rated, default=Threat.UNRATED),
        fixed=notes.get("fixed"),
        told=notes.get("told", ""),
        summary="",
    )
