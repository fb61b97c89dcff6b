"""Advisories of weaknesses, which packages each is about, and what of an image one is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from pipeline.model.names import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Threat(IntEnum):
    """How bad a weakness is, by the ratings of CVSS (https://www.first.org/cvss/v3.1/specification-document).

    What has no rating is no less than anything: nobody has looked yet.
    """

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4
    UNRATED = 5

    @property
    def word(self) -> str:
        """As it is written: ``high``."""
        return self.name.lower()


@dataclass(frozen=True)
class Event:
    """A version that brings a weakness (``"0"``: the first did), that is without it, or the last with it."""

    kind: Literal["introduced", "fixed", "last_affected"]
    version: str


@dataclass(frozen=True)
class Affected:
    """The versions of one package that an advisory is about: some by name, and ranges of events in any order.

    ``ecosystem`` is as OSV writes it: ``PyPI``, ``Debian:12``, ``Ubuntu:22.04:LTS``.
    """

    ecosystem: str
    name: str
    versions: frozenset[str] = frozenset()
    ranges: tuple[tuple[Event, ...], ...] = ()


@dataclass(frozen=True)
class Advisory:
    """One advisory. ``aliases`` are what others call the same weakness, the two times are RFC 3339."""

    id: str
    modified: str
    published: str = ""
    aliases: tuple[str, ...] = ()
    summary: str = ""
    threat: Threat = Threat.UNRATED
    affected: tuple[Affected, ...] = ()


@dataclass(frozen=True)
class Present:
    """A package that is in an image, as advisories look for it.

    Of Debian's packages ``name`` and ``version`` are the source's, which advisories name; ``shown`` is what
    the image has, ``libssl3 3.0.15-1~deb12u1``.
    """

    ecosystem: str
    name: str
    version: str
    shown: str


@dataclass(frozen=True)
class Exposure:
    """A weakness of a package of an image, by every advisory that tells of it.

    ``id`` is the CVE, where it has one, ``ids`` are all of its names; ``fixed`` is the first version without
    it, empty where there is none, None where nobody says; ``told`` is the day on which the first of them told
    of it, empty where nobody says. ``spared`` says why it refuses nothing, and is empty where it does.
    """

    id: str
    ids: tuple[str, ...]
    package: Present
    threat: Threat
    fixed: str | None
    told: str
    summary: str
    spared: str = ""


@dataclass(frozen=True)
class Tolerated:
    """Weaknesses that are known and accepted: by these names, in packages that one of these globs matches.

    ``expires`` is the last day on which that counts. ``justification`` says in a word of OpenVEX why the
    image is not affected; without one it is, and the reason says why that is borne.
    """

    ids: frozenset[str]
    packages: tuple[str, ...]
    expires: date
    reason: str
    justification: str = ""

    def covers(self, one: Exposure, today: date) -> bool:
        """Whether a weakness is accepted on this day."""
        is_named = bool(self.ids & {one.id, *one.ids})
        is_there = any(fnmatchcase(one.package.name, glob) for glob in self.packages)
        return is_named and is_there and today <= self.expires


@dataclass(frozen=True)
class Demand:
    """Which weaknesses refuse an image: from this threat on, and what nobody has rated.

    Where ``fixable``, only those that another version has fixed; ``leeway`` is for how many days none does
    after it was told of.
    """

    threat: Threat = Threat.LOW
    fixable: bool = False
    leeway: int = 0
    tolerated: tuple[Tolerated, ...] = ()

    def spares(self, one: Exposure, today: date) -> str:
        """Why a weakness refuses nothing on this day, each reason of it; empty where it does.

        What nobody says is held against it, and so is a day that is still to come.
        """
        return "; ".join(self._reasons(one, today))

    def _reasons(self, one: Exposure, today: date) -> Iterator[str]:
        if one.threat < self.threat:
            yield f"less than {self.threat.word}"
        if self.fixable and one.fixed == "":
            yield "no version has it fixed"
        if (today - timedelta(days=self.leeway)).isoformat() < one.told <= today.isoformat():
            yield f"told of less than {self.leeway} days ago"
        for rule in self.tolerated:
            if rule.covers(one, today):
                yield f"{rule.reason} (until {rule.expires})"


@dataclass(frozen=True)
class ScanTerms:
    """The scan that an image needs: how old it may be, in days, and which weaknesses refuse the image."""

    max_age_days: int
    demand: Demand


@dataclass(frozen=True)
class Export:
    """Advisories as they lay in files: the digest of these, how many are of what was asked, and how new.

    ``modified`` is when the newest of them was written, empty where there is none; ``unread`` are files that
    hold no advisory, each with the reason.
    """

    digest: str
    advisories: tuple[Advisory, ...]
    modified: str
    unread: Mapping[str, str]


@dataclass(frozen=True)
class Scan:
    """What advisories say of one image.

    ``digest`` is the image's, empty where it has none; ``signer`` who signed what it is made of, empty where
    that was read from its files; ``packages`` how many were looked for. ``source`` is the digest of the
    advisories, ``modified`` the newest one's time. ``uncovered`` are the ecosystems of packages of which the
    advisories have not one. ``unclear`` are sentences: versions that could not be compared; ``unread`` are
    files that hold no advisory, each with the reason. ``made`` is when it was made, RFC 3339, by ``scanner``,
    its name and version.
    """

    image: str
    digest: str
    signer: str
    packages: int
    source: str
    modified: str
    exposures: tuple[Exposure, ...]
    unclear: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    made: str = ""
    scanner: tuple[str, str] = (PROJECT, "")
    uncovered: tuple[str, ...] = ()

    @property
    def moment(self) -> datetime:
        """When it was made. Raises ValueError where it does not say."""
        return datetime.fromisoformat(self.made).astimezone(UTC)

    @property
    def as_of(self) -> datetime:
        """The time until which it knows of weaknesses: a scan is as old as its advisories.

        Raises ValueError where it does not say.
        """
        return min(self.moment, datetime.fromisoformat(self.modified).astimezone(UTC))

    @property
    def refuses(self) -> tuple[Exposure, ...]:
        """The weaknesses for which the image is refused."""
        return tuple(one for one in self.exposures if not one.spared)
