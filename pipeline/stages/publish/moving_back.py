"""A tag, given to an earlier image of its cell, because somebody knows that the newer one is not good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Reason, ReasonCode
from pipeline.stages.publish.rivals import announced
from pipeline.stages.publish.succession import Heirs

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry
    from pipeline.model import Cell, Digest
    from pipeline.stages.publish.work import Evidence, TagGate


def earlier(
    destination: Registry,
    cell: Cell,
    tag: str,
    now: Digest,
    to: Digest | None,
    *,
    evidence: Evidence,
    gate: TagGate,
) -> Digest | Reason:
    """The image that a tag may move back to from ``now``: the one that is asked for, else the newest before.

    Its evidence has to hold by today's policy. Out comes why there is none. Raises RegistryError where the
    registry does not answer.
    """
    digests = {*announced(destination, cell).values(), now, *([to] if to else [])}
    heirs = Heirs.of(digests, destination, evidence, gate)
    name = destination.repository.tagged(tag)
    if to is None:
        found = heirs.newest(cell, before=now)
        text = f"{name}: no image of {cell.id} before {now} has evidence that holds today"
        hint = f"python -m pipeline yank {tag} --reason … takes the tag away, if nothing may carry it"
        return found or Reason(ReasonCode.NOTHING_BEFORE, text, hint)
    proof = heirs.proofs[to]
    if proof is None or proof.record.cell != cell.id:
        why = f"is of {proof.record.cell}" if proof else "has no evidence that holds today"
        text = f"{name}: {to} {why}, and the tag is one of {cell.id}"
        return Reason(ReasonCode.NOTHING_BEFORE, text, f"python -m pipeline history {tag} has the others")
    return to
