"""One tag: written, read back, set back where the registry did not keep it, taken back where it must go."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from pipeline.model import Digest
    from pipeline.stages.publish.work import Work

HEAL = "see to the registry's disk, then run the same command again"

PAUSE = 0.2
"""Seconds between two readings of a tag: a registry may show what was written only after a while."""


def put(work: Work, tag: str) -> None:
    """Have a tag name the image, and read it back; another publisher's digest there is left to be settled.

    Raises RegistryError where the registry does not keep it; what the tag named before is put back first,
    where that may have it.
    """
    try:
        work.destination.put_manifest(work.manifest, tag)
        work.written.add(tag)
        work.on_step(f"tag {tag} written")
        _read_back(work, tag)
    except RegistryError as error:
        became = restore(work, tag)
        what = f"{work.name(tag)} was written and cannot be read: {error.what}; {became}"
        raise RegistryError(what, hint=error.hint) from error
    work.on_step(f"tag {tag} read back")


def restore(work: Work, tag: str) -> str:
    """Have a tag name what it named before, if the evidence of that holds now; says what became of it.

    Nothing is ever removed together with its manifest: other tags may name that by now.
    """
    previous = work.before.get(tag)
    try:
        if previous is None:
            return "it did not exist before"
        manifest = work.destination.manifest(previous)
        if manifest is None or work.destination.missing(manifest):
            return f"it named {previous} before, which is broken, so that was not put back"
        if not work.holds(previous):
            return f"it named {previous} before, whose evidence does not hold, so that was not put back"
        work.destination.put_manifest(manifest, tag)
    except RegistryError as second:
        return f"it could not be set back: {second.what}"
    with suppress(RegistryError):  # the tag is what matters; its history shows what was not said
        work.announce(previous, {tag: work.digest}, f"{work.digest} was taken back")
    return f"it names {previous} again"


def take_back(work: Work) -> str:
    """Take the tags that we wrote off the image, whose evidence does not hold; says what became of them.

    Its plain signature goes with them: that would let it in where nobody reads the evidence.
    """
    sentences = []
    if work.signatures.revoke(work.digest):
        sentences.append("its plain signature was taken away")
    for tag in work.tags:
        if tag in work.written and work.destination.digest_of(tag) == work.digest:
            became = restore(work, tag)
            if work.destination.digest_of(tag) == work.digest and work.destination.delete_tag(tag):
                became = "it was removed"
            sentences.append(f"{work.name(tag)}: {became}")
    return "; ".join(sentences) or "no tag was written"


def _read_back(work: Work, tag: str) -> None:
    """Wait until the tag gives our bytes and every blob is there, or gives another publisher's."""
    deadline = time.monotonic() + work.destination.patience
    while True:
        now = work.destination.digest_of(tag)
        if now == work.digest and not work.destination.missing(work.manifest):
            return
        if now not in (None, work.digest, work.before.get(tag)):
            return
        if time.monotonic() > deadline:
            raise RegistryError(f"it names {_shown(now)}, and not its image", hint=HEAL)
        time.sleep(PAUSE)


def _shown(digest: Digest | None) -> str:
    return str(digest) if digest else "nothing"
