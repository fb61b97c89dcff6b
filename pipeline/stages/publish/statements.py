"""What was signed, from one place of an image to another: all of them, so what speaks against it as well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.model import Certified, Declared, Documented, Proof, Rehearsed, Scanned
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.adapters.registry import Registry
    from pipeline.model import Attestations, Image, Signed
    from pipeline.stages.publish.work import Evidence

PAUSE = 0.2
"""Seconds between two readings of what was just stored."""

_NAMES = {
    Certified: "certificate",
    Proof: "record",
    Rehearsed: "rehearsal",
    Declared: "transition",
    Documented: "document",
    Scanned: "scan",
}


def carry(
    image: Image,
    source: Registry,
    destination: Registry,
    evidence: Evidence,
    on_step: Callable[[str], None] = lambda _: None,
) -> Attestations:
    """Have all that is signed in the source beside the image in the destination, and in every list there.

    Returns what lies there then. Raises RegistryError where the destination does not give it back.
    """
    digest = image.ref.digest
    statements = evidence.attestations_of(source, digest).signed
    stored = evidence.attestations_of(destination, digest)
    lacking = _lacking(statements, stored)
    if not lacking and not stored.unlisted:
        return stored
    evidence.copy(lacking, source, destination, image.ref.digest)
    for statement in lacking:
        on_step(f"{_NAMES[type(statement)]} stored")
    deadline = time.monotonic() + destination.patience
    while lacking := _lacking(statements, stored := evidence.attestations_of(destination, digest)):
        if time.monotonic() > deadline:
            (first, *_) = lacking
            raise RegistryError(
                f"{destination.repository} took the {_NAMES[type(first)]} {first.manifest} of {digest}"
                " and does not give it back",
                hint="run the same command again; if it stays so, name another registry with --repository",
            )
        time.sleep(PAUSE)
    on_step("what was signed read back")
    return stored


def _lacking(statements: Sequence[Signed], stored: Attestations) -> tuple[Signed, ...]:
    """The statements that are not stored yet."""
    present = {statement.manifest for statement in stored.signed}
    return tuple(statement for statement in statements if statement.manifest not in present)
