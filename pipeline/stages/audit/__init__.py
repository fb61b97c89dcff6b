"""The static certificate: will this image run, and where, told from its files alone, without a GPU.

    FileSystem → survey → Inventory → judge (rules) → Certificate

Nothing of the image is run, and only the files that a rule looks at are read.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from pipeline.formats import sources
from pipeline.model import key_of, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.model import Digest, Expectations, Waiver


def inputs_of(digest: Digest, wanted: Expectations, waivers: Sequence[Waiver]) -> str:
    """A key of what a certificate is judged by: the image, what is expected of it, exceptions, the rules.

    What the last proven image was like is not in it, or each publication would void the certificates; nor are
    the facts of compatibility, or each refresh would: a certificate names the day of its own.
    """
    expected = to_json(replace(wanted, last=None))
    accepted = [[one.rule, one.path, one.expires.isoformat()] for one in waivers]
    return key_of([digest.value, expected, sorted(accepted), _rules()])


@cache
def _rules() -> str:
    """A digest of what judges, read once."""
    hashes = [[path.relative_to(sources.PACKAGE).as_posix(), _sha256(path)] for path in judging()]
    return key_of(hashes)


def judging() -> tuple[Path, ...]:
    """The files whose code decides on a verdict: of this room, of the one that reads images, and all behind.

    Not the registry and the engine: they hand over bytes, which the image's digest names.
    """
    return sources.behind(
        ("stages/audit", "adapters/image_files"), less=("adapters/registry", "adapters/engine")
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
