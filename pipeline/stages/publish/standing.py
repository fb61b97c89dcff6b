"""What a digest under one of our tags is to us: older, newer, of another cell, or nobody knows what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipeline.model import Reason, ReasonCode
from pipeline.stages.publish.rivals import order
from pipeline.stages.publish.work import PARALLEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from pipeline.model import Attestations, Digest, Proof
    from pipeline.stages.publish.work import Work


def refusal(work: Work, moves: Literal["forward", "never"]) -> Reason | None:
    """Why one of the tags may not come to name the image, if so, before anything is written."""
    digests = sorted({*work.before.values(), *work.published.values()} - {work.digest})
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = pool.map(lambda digest: work.evidence.attestations_of(work.destination, digest), digests)
        attestations = dict(zip(digests, found, strict=True))
    proofs = {digest: work.gate.holds(digest, each) for digest, each in attestations.items()}
    reasons = [
        *_immutable_reasons(work, proofs),
        *_fixed_reasons(work, moves),
        *_newer_reasons(work, proofs),
        *_unknown_reasons(work, attestations),
    ]
    return next(iter(reasons), None)


def is_older(work: Work, digest: Digest) -> bool:
    """Whether this is an image of the same cell whose evidence holds, with an older proof than ours."""
    theirs, ours = work.holds(digest), work.holds(work.digest)
    if theirs is None or ours is None or theirs.record.cell != work.image.cell.id:
        return False
    return order(digest, theirs) < order(work.digest, ours)


def _moved(work: Work) -> Iterator[tuple[str, Digest]]:
    """The channels that name another digest now."""
    return (
        (tag, work.before[tag]) for tag in work.channels if work.before.get(tag, work.digest) != work.digest
    )


def _immutable_reasons(work: Work, proofs: Mapping[Digest, Proof | None]) -> Iterator[Reason]:
    """The tag of this very build names something else: another image of the same inputs, or a stranger's."""
    tag = work.image.immutable_tag
    digest = work.before.get(tag, work.digest)
    if digest == work.digest:
        return
    if proofs[digest]:
        text = f"{work.name(tag)} is immutable and names {digest}, not {work.digest}"
        yield Reason(ReasonCode.TAG_IMMUTABLE, text, "find out who built the same inputs into another image")
    else:
        text = f"{work.name(tag)} is immutable, and was moved to {digest}, whose evidence does not hold"
        yield Reason(
            ReasonCode.TAG_MOVED, text, f"python -m pipeline repair {work.image.cell.id} moves it back"
        )


def _fixed_reasons(work: Work, moves: Literal["forward", "never"]) -> Iterator[Reason]:
    if moves == "never":
        for tag, digest in _moved(work):
            text = f"{work.name(tag)} names {digest}, and the matrix says that tags never move"
            yield Reason(
                ReasonCode.TAG_FIXED, text, "set publish.moves to forward, or publish under another alias"
            )


def _newer_reasons(work: Work, proofs: Mapping[Digest, Proof | None]) -> Iterator[Reason]:
    """A newer image of the cell has tags already, or will get them; an alias may leave another cell."""
    ours = work.gate.holds(work.digest, work.evidence.attestations_of(work.source, work.digest))
    for digest, proof in proofs.items():
        if proof is None or ours is None or proof.record.cell != work.image.cell.id:
            continue
        if order(digest, proof) > order(work.digest, ours):
            text = (
                f"{work.destination.repository} has {digest} for {work.image.cell.id}, proven at"
                f" {proof.record.finished}; {work.digest} was proven before, at {ours.record.finished}"
            )
            hint = (
                f"python -m pipeline verify --fresh {work.image.cell.id} proves it again, if it is to win; "
                "python -m pipeline rollback TAG goes back to what was published before"
            )
            yield Reason(ReasonCode.TAG_NEWER, text, hint)


def _unknown_reasons(work: Work, attestations: Mapping[Digest, Attestations]) -> Iterator[Reason]:
    """Somebody published a digest of which nothing can be read now: nobody knows that it is older."""
    for tag, digest in _moved(work):
        found = attestations[digest]
        was_ours = found.certificates or found.rejected or digest in work.published.values()
        if found.missing or (was_ours and not found.proofs):
            text = f"{work.name(tag)} names {digest}, which may be newer: what was signed of it is gone"
            hint = (
                f"python -m pipeline repair {work.image.cell.id}, if {work.digest} is to have it all the same"
            )
            yield Reason(ReasonCode.TAG_UNKNOWN, text, hint)
