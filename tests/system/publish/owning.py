"""Somebody who owns a repository: a matrix, the key that signs, and two images that are published."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.model import Decision, Image, Life, Publication, checks_of, versions_of
from tests.builders import passed, rfc3339
from tests.system.publish.publishing import CELL, CHANNELS, put, tags

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Bench

MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: ["0.32.0"]
base: {suite: bookworm, refresh: "2026-11-20"}
publish: {repository: "%s"}
"""


@dataclass(frozen=True)
class Owner:
    """Somebody with a matrix, the key that signs, and two images: yesterday's and today's."""

    folder: Path
    bench: Bench
    old: Image
    new: Image

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pipeline", *words, "--matrix", str(self.folder / "matrix.yaml")]

    @property
    def around(self) -> dict[str, str]:
        pem = self.bench.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {**os.environ, "TAGPROOF_KEY": pem, "XDG_DATA_HOME": str(self.folder)}

    def types(self, *words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            self.words(*words), env=self.around, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def lives(self, image: Image) -> list[Life]:
        """What was signed beside an image in the destination that it became, the oldest first."""
        beside = self.bench.evidence.attestations_of(self.bench.destination, image.ref.digest)
        return [declared.transition.life for declared in reversed(beside.transitions)]

    def judged(self, image: Image) -> Decision:
        """What the gate of publication says of an image, by what lies beside it in staging."""
        return self.bench.gate(image).decide(
            self.bench.evidence.attestations_of(self.bench.staging, image.ref.digest)
        )

    def channels(self) -> set[str | None]:
        found = tags(self.bench)
        return {found.get(channel) for channel in CHANNELS}


def ago(**duration: int) -> dict[str, Any]:
    """A proof by every check, made so long ago."""
    finished = rfc3339(datetime.now(UTC) - timedelta(**duration))
    return {"finished": finished, "checks": passed(checks_of(CELL)), "versions": versions_of(CELL)}


def owner_of(bench: Bench, folder: Path) -> Owner:
    folder.mkdir(exist_ok=True)
    (folder / "matrix.yaml").write_text(MATRIX % bench.destination.repository)
    old = bench.proven("1" * 64, **ago(hours=2))
    new = bench.proven("2" * 64, **ago(hours=1))
    for image, decision in (old, new):
        assert isinstance(put(bench, image, decision), Publication)
    return Owner(folder, bench, old[0], new[0])


def digest(image: Image) -> str:
    return str(image.ref.digest)
