"""Which weaknesses that advisories tell of are in an image: versions are compared, nothing is guessed.

OSV's own algorithm (https://ossf.github.io/osv-schema/#evaluation), with the order of versions of each
ecosystem: Python's (PEP 440) or Debian's (deb-version(7)).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from importlib.metadata import version as installed
from typing import TYPE_CHECKING, Any

from debian_inspector.version import Version as DebianVersion
from packaging.version import Version

from pipeline.formats.osv import PYPI
from pipeline.model import PROJECT, Exposure, Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from pipeline.model import Advisory, Affected, Demand, Event, Export, Present

_FIRST = "0"
"""What OSV writes for the version before all others."""


def scan(
    image: str,
    digest: str,
    packages: Sequence[Present],
    export: Export,
    demand: Demand,
    *,
    now: datetime,
    signer: str = "",
) -> Scan:
    """What the advisories of an export say of the packages of an image, the worst first.

    ``demand`` says which of that refuses it now; ``signer`` is who signed that these are its packages.
    """
    told, unclear = _told(packages, export.advisories)
    found = (_exposure(package, group) for package, known in told.items() for group in _same(known))
    exposures = [replace(one, spared=demand.spares(one, now.date())) for one in found]
    return Scan(
        image=image,
        digest=digest,
        signer=signer,
        packages=len(packages),
        source=export.digest,
        modified=export.modified,
        exposures=tuple(sorted(exposures, key=lambda one: (-one.threat, one.package.name, one.id))),
        unclear=tuple(sorted(unclear)),
        unread=export.unread,
        made=now.isoformat(timespec="seconds"),
        scanner=(PROJECT, installed(PROJECT)),
        uncovered=tuple(sorted(_uncovered(packages, export.advisories))),
    )


def _uncovered(packages: Iterable[Present], advisories: Iterable[Advisory]) -> set[str]:
    """The ecosystems of which there is no advisory at all: of their packages nothing was asked."""
    told = {affected.ecosystem for advisory in advisories for affected in advisory.affected}
    here = {package.ecosystem for package in packages}
    return {ecosystem for ecosystem in here if not any(_is_of(ecosystem, one) for one in told)}


def _told(
    packages: Iterable[Present], advisories: Iterable[Advisory]
) -> tuple[dict[Present, list[tuple[Advisory, str]]], set[str]]:
    """For each package the advisories that are about its version, with the first that is fixed."""
    by_name: dict[str, list[Present]] = defaultdict(list)
    for package in packages:
        by_name[package.name].append(package)
    told: dict[Present, list[tuple[Advisory, str]]] = defaultdict(list)
    unclear: set[str] = set()
    for advisory in advisories:
        for affected in advisory.affected:
            for package in by_name.get(affected.name, ()):
                if not _is_of(package.ecosystem, affected.ecosystem):
                    continue
                try:
                    fixed = _fixed(package, affected)
                except ValueError as error:
                    unclear.add(f"{advisory.id} and {package.shown}: {error}")
                else:
                    if fixed is not None:
                        told[package].append((advisory, fixed))
    return told, unclear


def _is_of(here: str, told: str) -> bool:
    """Whether an advisory's ecosystem has this one: Ubuntu adds ``:LTS``, and Debian may name no release."""
    return told in {here, f"{here}:LTS", here.partition(":")[0]}


def _fixed(package: Present, affected: Affected) -> str | None:
    """None where the package is not affected; else the first version that is not, empty where none is known.

    Raises ValueError, which says what could not be compared.
    """
    order = _python if package.ecosystem == PYPI else _debian
    version = order(package.version)
    open_ranges = [events for events in affected.ranges if _is_within(version, events, order)]
    if not open_ranges and not _is_named(package, affected, order):
        return None
    later = {event.version for events in affected.ranges for event in events if event.kind == "fixed"}
    above = [candidate for candidate in later if order(candidate) > version]
    return min(above, key=order, default="")


def _is_named(package: Present, affected: Affected, order: Callable[[str], Any]) -> bool:
    """Whether the version is listed; a version that is written in another way is the same one."""
    if package.version in affected.versions:
        return True
    version = order(package.version)
    return any(_equal(order, listed, version) for listed in affected.versions)


def _equal(order: Callable[[str], Any], listed: str, version: Any) -> bool:
    try:
        return bool(order(listed) == version)
    except ValueError:  # a version of before PEP 440, which is not ours: that one was compared
        return False


def _is_within(version: Any, events: Sequence[Event], order: Callable[[str], Any]) -> bool:
    """Whether a version is affected by one range: the last event up to it decides."""

    def place(event: Event) -> tuple[Any, ...]:
        return (False,) if event.version == _FIRST else (True, order(event.version))

    is_affected = False
    for event in sorted(events, key=place):
        has_come = event.version == _FIRST or version >= order(event.version)
        if event.kind == "introduced":
            is_affected |= has_come
        elif event.kind == "fixed":
            is_affected &= not has_come
        else:
            is_affected &= not has_come or version == order(event.version)
    return is_affected


def _python(text: str) -> Version:
    """The place of a version of Python's; a build (``+cpu``) is as affected as its release."""
    return Version(text.partition("+")[0])


def _debian(text: str) -> Any:
    return DebianVersion.from_string(text)


def _same(found: Sequence[tuple[Advisory, str]]) -> Iterator[list[tuple[Advisory, str]]]:
    """Those that tell of one weakness, by any name that they share."""
    groups: list[tuple[set[str], list[tuple[Advisory, str]]]] = []
    for one in found:
        names = {one[0].id, *one[0].aliases}
        joined = [group for group in groups if group[0] & names]
        groups = [group for group in groups if not group[0] & names]
        groups.append(
            (names.union(*(group[0] for group in joined)), [*(e for g in joined for e in g[1]), one])
        )
    return (members for _, members in groups)


def _exposure(package: Present, found: Sequence[tuple[Advisory, str]]) -> Exposure:
    """What all advisories of one weakness say together: the worst rating that any gives, and a remedy."""
    ids = tuple(dict.fromkeys(advisory.id for advisory, _ in found))
    names = [*ids, *(alias for advisory, _ in found for alias in advisory.aliases)]
    rated = [advisory.threat for advisory, _ in found if advisory.threat < max(type(advisory.threat))]
    return Exposure(
        id=next((name for name in names if name.startswith("CVE-")), ids[0]),
        ids=tuple(dict.fromkeys(names)),
        package=package,
        threat=max(rated, default=found[0][0].threat),
        fixed=next((fixed for _, fixed in found if fixed), ""),
        told=min((advisory.published or advisory.modified)[:10] for advisory, _ in found),
        summary=next((advisory.summary for advisory, _ in found if advisory.summary), ""),
    )
