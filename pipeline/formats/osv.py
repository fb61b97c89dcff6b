"""Advisories in OSV's format (https://ossf.github.io/osv-schema/): bytes in, an advisory out.

What is read is what says whether a version is affected, and how bad that is. Ranges of commits say nothing
of packages, and are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError
from packaging.utils import canonicalize_name
from pydantic import BaseModel, Field, ValidationError

from pipeline.formats import ratings
from pipeline.formats.moments import in_utc
from pipeline.model import Advisory, Affected, Event, Threat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_BYTES = 16 << 20
"""Of one advisory; the largest of Debian's have two megabytes."""

PYPI = "PyPI"

_Text = Annotated[str, Field(max_length=500)]
_Vector = Annotated[str, Field(max_length=300)]
_VECTORS = {"CVSS_V2": CVSS2, "CVSS_V3": CVSS3, "CVSS_V4": CVSS4}


class InvalidAdvisoryError(ValueError):
    """These bytes hold no advisory. The text says why."""


class _Severity(BaseModel):
    type: _Text
    score: _Vector


class _Package(BaseModel):
    ecosystem: _Text
    name: _Text


class _Event(BaseModel):
    introduced: _Text | None = None
    fixed: _Text | None = None
    last_affected: _Text | None = None


class _Range(BaseModel):
    type: _Text
    events: tuple[_Event, ...] = ()


class _Affected(BaseModel):
    package: _Package | None = None
    ranges: tuple[_Range, ...] = ()
    versions: tuple[_Text, ...] = ()
    severity: tuple[_Severity, ...] = ()
    ecosystem_specific: Any = None


class _Document(BaseModel):
    id: _Text
    modified: _Text
    published: _Text = ""
    withdrawn: _Text | None = None
    aliases: tuple[_Text, ...] = ()
    upstream: tuple[_Text, ...] = ()
    summary: str = ""
    severity: tuple[_Severity, ...] = ()
    affected: tuple[_Affected, ...] = ()
    database_specific: Any = None


def advisory_of(body: bytes) -> Advisory | None:
    """The advisory in these bytes; None where it was withdrawn. Raises InvalidAdvisoryError."""
    try:
        found = _Document.model_validate_json(body)
    except (ValidationError, RecursionError) as error:
        raise InvalidAdvisoryError("holds no advisory in OSV's format") from error
    if found.withdrawn:
        return None
    try:
        modified = in_utc(found.modified)
    except ValueError as error:
        raise InvalidAdvisoryError("does not say when it was modified, as RFC 3339 writes it") from error
    return Advisory(
        id=found.id,
        modified=modified,
        published=found.published,
        aliases=tuple(dict.fromkeys((*found.aliases, *found.upstream))),
        summary=" ".join(found.summary.split())[:300],
        threat=_threat(found),
        affected=tuple(_affected(found.affected)),
    )


def _affected(entries: Iterable[_Affected]) -> Iterator[Affected]:
    for entry in entries:
        if entry.package is not None:
            package = entry.package
            name = canonicalize_name(package.name) if package.ecosystem == PYPI else package.name
            ranges = tuple(_events(one.events) for one in entry.ranges if one.type != "GIT")
            yield Affected(package.ecosystem, name, frozenset(entry.versions), ranges)


def _events(events: Iterable[_Event]) -> tuple[Event, ...]:
    return tuple(made for event in events for made in _made(event))


def _made(event: _Event) -> Iterator[Event]:
    if event.introduced is not None:
        yield Event("introduced", event.introduced)
    if event.fixed is not None:
        yield Event("fixed", event.fixed)
    if event.last_affected is not None:
        yield Event("last_affected", event.last_affected)


def _threat(found: _Document) -> Threat:
    """The worst rating that it gives, in whatever way."""
    scores = [*found.severity, *(score for entry in found.affected for score in entry.severity)]
    places = [found.database_specific, *(entry.ecosystem_specific for entry in found.affected)]
    words = [place.get(key) for place in places if isinstance(place, dict) for key in ("severity", "urgency")]
    rated = [rating for score in scores if (rating := _rating(score)) is not None]
    named = (ratings.of_word(word) for word in words if isinstance(word, str))
    rated += [rating for rating in named if rating is not None]
    return max(rated, default=Threat.UNRATED)


def _rating(severity: _Severity) -> Threat | None:
    if severity.type not in _VECTORS:
        return ratings.of_word(severity.score)
    try:
        score = float(_VECTORS[severity.type](severity.score).scores()[0])
    except (CVSSError, ValueError, KeyError, IndexError, ArithmeticError):
        return None
    return ratings.of_score(score)
