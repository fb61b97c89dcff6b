"""A list of packages, whoever wrote it: what is in it, and which parts of it nobody could read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.markers import Marker
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LINE = 20_000
"""Characters of a line that are looked at."""


@dataclass(frozen=True)
class Listed:
    """A package that a list names, by its normalised name.

    ``version`` is the one that it pins, with its local part, empty where it pins none; ``bounds`` is the
    range that it allows then. ``where`` says where in the list it stands.
    """

    name: str
    version: str
    bounds: str
    where: str


@dataclass(frozen=True)
class Listing:
    """What a list says. ``kind`` is what wrote it, ``tool`` what installs it (``pip``, ``uv``, ``poetry``).

    ``python`` is the Python that it is of ("3.12"), and ``glibc`` its system's, where it says so; ``unread``
    are the parts of it that say nothing to us, in words.
    """

    kind: str
    tool: str
    packages: tuple[Listed, ...]
    unread: tuple[str, ...] = ()
    python: str = ""
    glibc: str = ""


def numbered(kind: str, tool: str, rows: Iterable[tuple[str, str]]) -> Listing:
    """The list of these names and versions, in their order."""
    return Listing(
        kind,
        tool,
        tuple(
            Listed(canonicalize_name(str(name)), str(version), "", f"package {number}")
            for number, (name, version) in enumerate(rows, 1)
        ),
    )


def holds(marker: str, here: dict[str, str]) -> bool:
    """Whether a marker speaks of this Python; one that is none speaks of all."""
    if not marker:
        return True
    try:
        return Marker(marker).evaluate(here)
    except (ValueError, KeyError, TypeError, RecursionError):
        return True
