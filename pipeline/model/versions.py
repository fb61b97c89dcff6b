"""What a proof was made by: the version of each check and of each family of rules.

A version is raised when what the check proves, or what the rules of the family find, changes; the gate
compares it with the least that the policy asks for. ``versions.json`` declares them, those of a rehearsal
too. Beside each stands a digest of what the code does, which nothing here reads: a test compares it
(``python -m tests.conduct`` records it), so that nobody changes a check and forgets its version.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

FILE = Path(__file__).with_name("versions.json")

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
"""Of a check or a family of rules, also of one that only another version of this tool has."""

Version = Annotated[int, Field(ge=1, le=1_000_000)]

FIRST = 1
"""The version of all that a statement made use of which names no versions."""


def _declared(kind: str) -> Mapping[str, int]:
    rows = json.loads(FILE.read_text("utf-8"))[kind]
    return MappingProxyType({name: row["version"] for name, row in rows.items()})


CHECK_VERSIONS = _declared("checks")
"""The version of each check that this suite has."""

REHEARSAL_VERSIONS = _declared("rehearsal")
"""The version of each check of a rehearsal."""

RULE_VERSIONS = _declared("rules")
"""The version of each family of rules that this audit has."""

_CHECKS = "versions cuda imports serve complete chat stream correct batch compile limits shutdown"
_RULES = "closure symbols one-cuda device-code driver-floor jit shadow contents requirements config budget"

FIRST_CHECKS = frozenset(_CHECKS.split())
"""The checks that every record has had from the first day on: one that lacks any of its kind is refused."""

FIRST_RULES = frozenset({*_RULES.split(), "exceptions"})
"""The same for the families of rules of a certificate."""


def version_of(name: str, versions: Mapping[str, int], first: Container[str]) -> int:
    """The version by which a statement with these versions was made: 0 where it made no use of it at all.

    ``first`` are the names that a statement used which names no versions.
    """
    return versions.get(name, 0) if versions else FIRST if name in first else 0
