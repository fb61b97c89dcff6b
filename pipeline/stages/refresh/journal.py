"""What was read so far, kept as it is read: a refresh that was cut short goes on from there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from pipeline.adapters import files
from pipeline.formats import elf
from pipeline.stages.refresh.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

_READING = TypeAdapter(Reading)
_READERS = sorted([*Path(__file__).parent.glob("*.py"), *Path(elf.__file__).parent.glob("*.py")])


def readers_digest(files: Sequence[Path] = _READERS) -> str:
    """Names the code that reads: what other code has read is not taken for what this one would."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


@dataclass(frozen=True)
class Journal:
    """A folder with a file for each artefact, by its hash. It may be removed at any time."""

    folder: Path

    def get(self, sha256: str) -> Reading | None:
        """What was read of this artefact; None where nothing was, or it is no longer whole."""
        try:
            return _READING.validate_json(self._path(sha256).read_bytes())
        except (OSError, ValueError):
            return None

    def put(self, sha256: str, reading: Reading) -> None:
        """Keep what was read; a file there is always whole."""
        path = self._path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, json.dumps(reading.plain()).encode())

    def _path(self, sha256: str) -> Path:
        return self.folder / readers_digest() / f"{sha256}.json"
