"""What the releases of PyTorch's and vLLM's companions require: rows that a program read from wheels.

``companions.json`` is written by ``nox -s refresh`` only, one row for each release. It is a file of its own,
and read only where companions are asked about: most questions are not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline.compat.facts import row_of
from pipeline.model import shown
from pipeline.model.errors import FactsError

COMPANIONS = Path(__file__).with_name("companions.json")


@dataclass(frozen=True)
class Release:
    """A release of a companion on the default index, by the wheel that was read (``file``).

    ``requires_python`` is what it says, ``pythons`` those that its wheels for x86-64 are made for, none where
    one wheel serves all of them. ``requires`` are its requirements on packages of this stack, as written.
    """

    package: str
    version: str
    file: str
    sha256: str
    requires_python: str
    pythons: tuple[str, ...]
    requires: tuple[str, ...]

    @property
    def source(self) -> tuple[str, ...]:
        """Where its requirements were read."""
        return (f"{self.file}: METADATA",)


@dataclass(frozen=True, eq=False)
class Companions:
    """All of these rows, by package and release, and the day on which they were read."""

    read: str
    rows: tuple[Release, ...]

    def release(self, package: str, version: str) -> Release | None:
        """The row of a release, by its public version; None where it was not read."""
        return self._by_release.get((package, version.partition("+")[0]))

    def releases(self, package: str) -> tuple[Release, ...]:
        """The rows of a package, oldest first."""
        return self._by_package.get(package, ())

    @cached_property
    def _by_release(self) -> dict[tuple[str, str], Release]:
        return {(row.package, row.version): row for row in self.rows}

    @cached_property
    def _by_package(self) -> dict[str, tuple[Release, ...]]:
        rows: dict[str, list[Release]] = {}
        for row in self.rows:
            rows.setdefault(row.package, []).append(row)
        return {package: tuple(group) for package, group in rows.items()}


@cache
def shipped() -> Companions:
    """The rows that came with this package."""
    return load(COMPANIONS)


def load(path: Path) -> Companions:
    """The rows of this file. Raises FactsError where it is no such file."""
    try:
        document: Any = json.loads(path.read_text("utf-8"))
        return Companions(document["read"], tuple(map(row_of(Release), document["releases"])))
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise FactsError(
            f"{path} is not what refresh writes: {shown(error)}",
            hint="take it back from the repository, or make it anew with `nox -s refresh`",
        ) from error
