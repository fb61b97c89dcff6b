"""The facts, where they are kept."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.compat import companion_facts, facts
from pipeline.stages.refresh import companions, document
from pipeline.stages.refresh.journal import Journal
from pipeline.stages.refresh.reading import Reading
from tests.fuzz.reader import Reader, put

if TYPE_CHECKING:
    from pathlib import Path

ARTEFACT = next(row for row in compat.shipped().artefacts if row.package == "torch")
RELEASES = json.dumps(
    {"schema": 1, "read": "2026-11-26", "releases": [asdict(companion_facts.shipped().rows[0])]}
).encode()
FACTS = document.text([ARTEFACT], "2026-11-24").encode()
SHA = "e" * 64


def read_facts(data: bytes, place: Path) -> object:
    return facts.load(put(place, "facts.json", data), facts.OVERLAY)


def read_journal(data: bytes, place: Path) -> object:
    journal = Journal(place / "journal")
    journal.put(SHA, Reading.of(ARTEFACT))
    next((place / "journal").rglob(f"{SHA}.json")).write_bytes(data)
    found = journal.get(SHA)
    return found.plain() if found else None


def read_companions(data: bytes, place: Path) -> object:
    path = put(place, "companions.json", data)
    return companion_facts.load(path).read, companions.read(path)


READERS = (
    Reader("companions", read_companions, (RELEASES,)),
    Reader("facts", read_facts, (FACTS,)),
    Reader("facts to refresh", lambda data, place: document.read(put(place, "facts.json", data)), (FACTS,)),
    Reader("journal", read_journal, (json.dumps(Reading.of(ARTEFACT).plain()).encode(),)),
)  # fmt: skip
