"""Tags, written last: a crash at any point leaves no tag on a digest without its proof.

The order is everything here. First every signed statement is stored in the destination and read back, and the
gate judges the image by what lies there; then the image's blobs and its manifest, by digest; then its plain
signature, for those who read no statements; then it is signed beside it which tags come to name it; then the
immutable tag, which tells other publishers of it; then the channels. Each tag is read back, its bytes hashed,
and every blob asked for. Last of all the tags and the evidence are read once more, when all of our own writes
have landed: ``rivals`` says why two publishers cannot both believe that they won.

    work         one publication: what from where to where, and whom it asks
    statements   what was signed, carried from one place to another
    standing     what a digest under one of our tags is to us
    tags         one tag: written, read back, set back
    freeze       when no tag is given, whatever is proven
    rivals       other publishers
    succession   which image of a cell a tag may go to, when it leaves another
    withdrawal   tags, taken off what may carry none
    moving_back  a tag, given to an earlier image
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.adapters.registry.limits import too_large
from pipeline.model import Publication, Reason, ReasonCode
from pipeline.model.errors import RegistryError
from pipeline.stages.publish import rivals, standing, tags
from pipeline.stages.publish.freeze import frozen
from pipeline.stages.publish.moving_back import earlier
from pipeline.stages.publish.statements import carry
from pipeline.stages.publish.tags import take_back
from pipeline.stages.publish.withdrawal import withdraw
from pipeline.stages.publish.work import (
    UNSIGNED,
    Announce,
    Evidence,
    ImageGate,
    Signatures,
    TagGate,
    Work,
    named,
    tagged,
    unannounced,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from pipeline.adapters.registry import Manifest, Registry
    from pipeline.model import Decision, Digest, Image

__all__ = [
    "Announce",
    "Evidence",
    "ImageGate",
    "Signatures",
    "TagGate",
    "Work",
    "begin",
    "carry",
    "complete",
    "earlier",
    "frozen",
    "named",
    "tagged",
    "take_back",
    "unannounced",
    "withdraw",
]


def begin(
    image: Image,
    decision: Decision,
    source: Registry,
    destination: Registry,
    channels: tuple[str, ...],
    *,
    moves: Literal["forward", "never"],
    evidence: Evidence,
    gate: ImageGate,
    announce: Announce = unannounced,
    signatures: Signatures = UNSIGNED,
    on_step: Callable[[str], None] = lambda _: None,
) -> Work | Reason:
    """Bring a proven image to the destination, with its evidence; no tag names it yet.

    ``decision`` is the gate's on what lies in the source; ``gate`` asks it about the destination. Out comes
    what ``complete`` gives the immutable tag and these channels to, or why none may be given. ``on_step`` is
    told each step that others can see, once it is done. Raises RegistryError where a registry does not
    answer, or does not keep what it said it has.
    """
    if not _is_allowed(image, decision):
        text = f"{image.cell.id}: the gate does not allow a tag on {image.ref}"
        return Reason(ReasonCode.NOT_ALLOWED, text, f"python -m pipeline gate {image.ref}")
    manifest = _manifest_of(image, source)
    if large := too_large(manifest, destination.repository.host):
        return large
    work = Work(
        image,
        channels,
        source,
        destination,
        evidence,
        gate,
        on_step,
        manifest,
        before=named(destination, (image.immutable_tag, *channels)),
        published=rivals.announced(destination, image.cell),
        announce=announce,
        signatures=signatures,
        why=f"proven at {decision.proof.record.finished}" if decision.proof else "",
    )
    return standing.refusal(work, moves) or _store_evidence(work) or _store_image(work)


def complete(work: Work) -> Publication | Reason:
    """Give an image that was brought there its tags, and take a last look.

    Out comes what the tags name and which were written (none where all was so already), or why it is
    refused: its evidence is gone, or another publisher was faster. Raises RegistryError where a registry
    does not answer, or does not keep a tag; one that it broke is set back first.
    """
    _sign(work)
    _announce(work)
    lost = _put(work, work.image.immutable_tag) or _outrun(work)
    for tag in work.channels:
        lost = lost or _put(work, tag)
    return lost or _settle(work)


def _manifest_of(image: Image, source: Registry) -> Manifest:
    manifest = source.manifest(image.ref.digest)
    if manifest is None:
        raise RegistryError(f"{image.ref} is not in the registry", hint="build it and verify it again")
    return manifest


def _is_allowed(image: Image, decision: Decision) -> bool:
    proof, certified = decision.proof, decision.certified
    if proof is None or certified is None or not decision.allowed:
        return False
    return {proof.subject, certified.subject} == {image.ref.digest}


def _store_evidence(work: Work) -> Reason | None:
    """What was signed first: what has a tag must never lack it, whenever we are ended."""
    attestations = carry(work.image, work.source, work.destination, work.evidence, work.on_step)
    return _refused(work, work.gate.decide(attestations))


def _refused(work: Work, decision: Decision) -> Reason | None:
    """Why what lies beside the image in the destination allows no tag, if so."""
    if decision.allowed:
        return None
    against = "; ".join(reason.text for reason in (*decision.reasons, *decision.rejected))
    text = f"{work.destination.repository}@{work.digest} may carry no tag, by what lies beside it: {against}"
    hint = next((reason.hint for reason in decision.reasons), work.again())
    return Reason(ReasonCode.NOT_ALLOWED, text, hint)


def _outrun(work: Work) -> Reason | None:
    """Whether a newer image was announced since our start; it gets whatever we wrote."""
    rival = rivals.newest(work)
    return rivals.give_way(work, rival) if rival else None


def _store_image(work: Work) -> Work:
    """All of the image, by digest: nobody finds it yet who does not know that."""
    missing = work.destination.missing(work.manifest)
    if missing:
        work.destination.mount_or_copy_blobs(missing, work.source)
        work.on_step("blobs mounted")
    if work.destination.digest_of(str(work.digest)) != work.digest:
        work.destination.put_manifest(work.manifest)
        work.on_step("manifest stored")
    return work


def _sign(work: Work) -> None:
    """What the gate allowed, for those who ask for a signature and read no gate: there before any tag is."""
    if work.signatures.sign(work.digest):
        work.on_step("signed plainly")


def _announce(work: Work) -> None:
    """Which tags come to name the image now: said before any does, so that none ever moves unsaid."""
    moves = {tag: work.before.get(tag) for tag in work.tags if work.before.get(tag) != work.digest}
    if moves:
        work.announce(work.digest, moves, work.why)


def _put(work: Work, tag: str) -> Reason | None:
    """One tag, unless it names the image already; a reason where another publisher moved it meanwhile."""
    now = work.destination.digest_of(tag)
    if now == work.digest:
        return None
    if now not in (None, work.before.get(tag)) and not standing.is_older(work, now):
        return _overtaken(work, tag, now)
    tags.put(work, tag)
    return None


def _overtaken(work: Work, tag: str, now: Digest) -> Reason:
    """Another publisher moved a tag: a newer image of the cell gets all of ours, anything else its own."""
    rival = rivals.newest(work, (now,))
    return rivals.give_way(work, rival) if rival else work.race(tag, now)


def _settle(work: Work) -> Publication | Reason:
    """When all of our writes have landed: whoever else was announced meanwhile, and what the tags name now.

    Raises RegistryError where the registry does not answer, or others go on overwriting us.
    """
    for _ in range(rivals.ROUNDS):
        if lost := _outrun(work):
            return lost
        now = named(work.destination, work.tags)
        moved = [tag for tag in work.tags if now.get(tag) != work.digest]
        if not moved:
            return _confirm(work)
        for tag in moved:
            lost = _put(work, tag)
            if lost:
                return lost
    raise rivals.unsettled(work)


def _confirm(work: Work) -> Publication | Reason:
    """The evidence once more, after the last tag: put back where it is gone; else the tags are taken back."""
    try:
        refused = _store_evidence(work)
    except RegistryError as error:
        what = f"the tags of {work.digest} were written, and its evidence is gone: {error.what}"
        raise RegistryError(f"{what}; {tags.take_back(work)}", hint=error.hint) from error
    if refused:
        return replace(refused, text=f"{refused.text}; {tags.take_back(work)}")
    written = tuple(tag for tag in work.tags if tag in work.written)
    return Publication(work.image.cell, work.destination.repository.at(work.digest), work.tags, written)
