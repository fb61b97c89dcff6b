"""The distributions that a base can be made of here: what each release brings, and what it is made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

SuiteName = Literal["bookworm", "trixie", "jammy", "noble"]
"""Debian 12 and 13, Ubuntu 22.04 and 24.04."""


@dataclass(frozen=True)
class System:
    """What the packages of one release bring: its ``python3``, its C library, the major of its ``g++``.

    ``components`` are the parts of its archive that hold the packages of every base; ``keyring`` is the
    package, of Debian and Ubuntu alike, with the keys that its archive is signed by.
    """

    python: str
    glibc: str
    gcc: str
    components: str
    keyring: str


_DEBIAN = ("main", "debian-archive-keyring")
_UBUNTU = ("main,universe", "ubuntu-keyring")  # python3-venv and tini are in universe

SYSTEMS: Mapping[str, System] = {
    "bookworm": System("3.11", "2.36", "12", *_DEBIAN),
    "trixie": System("3.13", "2.41", "14", *_DEBIAN),
    "jammy": System("3.10", "2.35", "11", *_UBUNTU),
    "noble": System("3.12", "2.39", "13", *_UBUNTU),
}
"""By the name of the suite."""
