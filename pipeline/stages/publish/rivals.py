"""Other publishers: of two who publish images of one cell, the newer proof wins on all of its tags.

A registry cannot compare and swap, and a write may land long after it was sent. So each publisher first
writes its immutable tag, which nobody else writes: that announces its image. Only then come the
channels, and after its last write has landed it looks who else was announced meanwhile. The write that
lands last is therefore always followed by a look that sees every newer image announced before it, and
whoever sees one gives its channels to that; so the newest one ends on all of them, however slow anyone is.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.model import Reason, ReasonCode
from pipeline.model.errors import RegistryError
from pipeline.stages.publish.work import PARALLEL, named

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from datetime import datetime

    from pipeline.adapters.registry import Registry
    from pipeline.model import Cell, Digest, Proof
    from pipeline.stages.publish.work import Work

ROUNDS = 50
"""How often one publisher writes again what others overwrite, before it says that it cannot end."""


@dataclass(frozen=True)
class Rival:
    """Another image of the cell whose evidence holds in the destination."""

    digest: Digest
    proof: Proof


def order(digest: Digest, proof: Proof) -> tuple[tuple[datetime, int], Digest]:
    """What is newer: the later proof; of two proofs of one second one is chosen that all agree on."""
    return proof.age, digest


def announced(destination: Registry, cell: Cell, besides: Container[str] = ()) -> dict[str, Digest]:
    """The immutable tags of a cell's images, with what they name; without those that are known already."""
    pattern = re.compile(re.escape(cell.id) + r"-[0-9a-f]{12}")
    ours = (tag for tag in destination.tags() if pattern.fullmatch(tag) and tag not in besides)
    return named(destination, ours)


def newest(work: Work, more: Iterable[Digest] = ()) -> Rival | None:
    """The newest rival that was announced since our start, if it is newer than ours.

    ``more`` are digests that were seen on our channels. Raises RegistryError where we cannot find out.
    """
    since = announced(work.destination, work.image.cell, {*work.published, work.image.immutable_tag})
    ahead = [
        rival
        for rival in _holding(work, sorted({*since.values(), *more} - {work.digest}))
        if _is_newer(work, rival)
    ]
    return max(ahead, key=lambda rival: order(rival.digest, rival.proof), default=None)


def _holding(work: Work, digests: Sequence[Digest]) -> tuple[Rival, ...]:
    """Those of these digests that are images of the cell and whose evidence holds."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        proofs = zip(digests, pool.map(work.holds, digests), strict=True)
        return tuple(
            Rival(digest, proof)
            for digest, proof in proofs
            if proof and proof.record.cell == work.image.cell.id
        )


def _is_newer(work: Work, rival: Rival) -> bool:
    """Whether a rival's proof is newer than ours is, as both of us see them in the destination."""
    ours = work.holds(work.digest)
    return ours is None or order(rival.digest, rival.proof) > order(work.digest, ours)


def give_way(work: Work, rival: Rival) -> Reason:
    """Have every channel that we wrote name the newest image instead, and say who won.

    Raises RegistryError where the registry does not answer, or others go on overwriting us.
    """
    ours = {work.digest}
    for _ in range(ROUNDS):
        left = {tag: digest for tag, digest in _channels(work).items() if digest in ours - {rival.digest}}
        latest = newest(work, (rival.digest,)) or rival
        if not left and latest == rival:
            return _lost(work, rival)
        rival = latest
        manifest = work.destination.manifest(rival.digest)
        if manifest is None:
            raise RegistryError(f"{work.destination.repository}@{rival.digest} is gone", hint=work.again())
        if left:
            work.announce(rival.digest, left, f"{work.digest}, whose proof is older, gives way")
        for tag in left:
            work.destination.put_manifest(manifest, tag)
            work.on_step(f"tag {tag} given to {rival.digest}")
        ours.add(rival.digest)
    raise unsettled(work)


def unsettled(work: Work) -> RegistryError:
    """Others overwrite us, and we them."""
    return RegistryError(
        f"{work.destination.repository}: others go on moving the tags of {work.image.cell.id}",
        hint=f"wait until they have ended, then {work.again()}",
    )


def _channels(work: Work) -> dict[str, Digest]:
    return named(work.destination, work.channels)


def _lost(work: Work, rival: Rival) -> Reason:
    text = (
        f"{work.image.cell.id}: another publisher was faster with {rival.digest}, proven at"
        f" {rival.proof.record.finished}; it has the channels, and {work.digest} only {work.tags[0]}"
    )
    return Reason(
        ReasonCode.TAG_RACE,
        text,
        f"python -m pipeline verify --fresh {work.image.cell.id}, if this one is to win",
    )
