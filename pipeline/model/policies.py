"""What a proof has to be for those who publish by it, or deploy by it. It is in no key: it voids no proof."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pipeline.model.hashes import canonical
from pipeline.model.json_forms import to_json
from pipeline.model.references import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pipeline.model.advisories import ScanTerms
    from pipeline.model.cells import Kind
    from pipeline.model.references import Repository

Presence = Literal["published", "any"]
"""What an image needs in a repository to be deployed from there: the tag of a publication, or none."""

SCHEMA = 1
"""The version of a policy's file, and of the form that its digest is of."""


@dataclass(frozen=True)
class Signer:
    """A public key as PEM, the name by which it is known here, and the days on which it may have signed.

    ``since`` and ``until`` are days as "2026-11-20", both included; empty where there is no bound.
    """

    name: str
    key: str
    since: str = ""
    until: str = ""

    def covers(self, day: str) -> bool:
        """Whether what was signed on this day counts."""
        return self.since <= day and (not self.until or day <= self.until)

    @property
    def term(self) -> str:
        """The days, for a message: ``from 2026-01-01 until 2026-12-31``."""
        bounds = (("from", self.since), ("until", self.until))
        return " ".join(f"{word} {day}" for word, day in bounds if day)


@dataclass(frozen=True)
class Later:
    """What is asked besides, from a day on: newer versions, or younger proofs (None: as before).

    ``since`` is the first day, as "2027-01-01".
    """

    since: str
    at_least: Mapping[str, int] = field(default_factory=dict)
    max_age_days: int | None = None


@dataclass(frozen=True)
class Policy:
    """What is asked of a proof today.

    ``required`` are the checks that must have passed, for each kind of cell: where none is named that a cell
    has, all that were there on the first day and all that the record's own day had, without those that are
    ``left_out`` of the cell (by its id), and those that may be impossible and were not run. ``at_least`` maps
    checks and families of rules to the oldest version that counts; without one, any does.

    The rest is asked at a deployment alone. ``repositories`` are those that promote images from each other: a
    proof that was made for one of them counts in all, and each says what an image needs to be there.
    ``signers`` are whose statements count. A cell for GPUs needs a proof on each of the ``architectures``
    (``sm_90``). ``max_attempts`` is how often the same may have been tried until it passed, ``tolerated`` are
    families of rules whose findings are not held against an image.

    ``scan`` is asked of both: which scan for known weaknesses an image needs, None where it needs none. So is
    what comes ``later``: until its day older proofs count.
    """

    required: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    max_age_days: int = 90
    accept_flaky: bool = False
    at_least: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    repositories: Mapping[Repository, Presence] = field(default_factory=dict)
    signers: tuple[Signer, ...] = ()
    architectures: tuple[str, ...] = ()
    max_attempts: int | None = None
    tolerated: tuple[str, ...] = ()
    scan: ScanTerms | None = None
    later: tuple[Later, ...] = ()

    def as_of(self, moment: datetime) -> Policy:
        """What is asked at a moment, in UTC. A rule that has begun only ever asks for more than others do."""
        today = moment.astimezone(UTC).date().isoformat()
        least, age = dict(self.at_least), self.max_age_days
        for rule in self.later:
            if rule.since <= today:
                least |= {name: max(version, least.get(name, 0)) for name, version in rule.at_least.items()}
                age = min(age, rule.max_age_days or age)
        return replace(self, at_least=least, max_age_days=age)

    @cached_property
    def digest(self) -> Digest:
        """The digest of all that it asks, however its file is written."""
        return Digest.of(canonical({"schema": SCHEMA, **to_json(self)}))
