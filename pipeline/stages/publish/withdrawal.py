"""Tags, taken off what may carry none: whoever asks for this knows that a published tag moves or goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Reason, ReasonCode
from pipeline.stages.publish.rivals import announced
from pipeline.stages.publish.succession import Heirs
from pipeline.stages.publish.work import UNSIGNED, named, unannounced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pipeline.adapters.registry import Registry
    from pipeline.model import Cell
    from pipeline.stages.publish.work import Announce, Evidence, Signatures, TagGate


def withdraw(
    destination: Registry,
    cell: Cell,
    tags: Iterable[str],
    *,
    evidence: Evidence,
    gate: TagGate,
    on_step: Callable[[str], None],
    announce: Announce = unannounced,
    signatures: Signatures = UNSIGNED,
) -> tuple[Reason, ...]:
    """Take these tags of a cell off every image whose evidence does not hold.

    A channel moves to the newest image of the cell whose evidence holds; where there is none it is removed,
    and so is an immutable tag, which no other image may have. Tags that are not asked for stay, so that what
    was pinned can still be pulled. The plain signature of such an image goes first. Out comes what could not
    be done. Raises RegistryError where the registry does not answer.
    """
    immutable = announced(destination, cell)
    now = named(destination, tags)
    heirs = Heirs.of({*immutable.values(), *now.values()}, destination, evidence, gate)
    newest = heirs.newest(cell)
    for digest in sorted({digest for digest in now.values() if not heirs.holds(digest)}):
        if signatures.revoke(digest):
            on_step(f"plain signature of {digest} taken away")
    left = []
    for tag, digest in now.items():
        if heirs.holds(digest):
            continue
        heir = newest if tag not in immutable else None
        manifest = destination.manifest(heir) if heir else None
        if heir and manifest:
            announce(heir, {tag: digest}, f"{digest} may carry no tag any more")
            destination.put_manifest(manifest, tag)
            on_step(f"tag {tag} moved from {digest}, whose evidence does not hold, to {heir}")
        elif destination.delete_tag(tag):
            on_step(f"tag {tag} removed: the evidence of {digest} does not hold")
        else:
            text = f"{destination.repository.tagged(tag)}: this registry removes no tags"
            left.append(Reason(ReasonCode.TAG_LEFT, text, "remove it by the registry's own means"))
    return tuple(left)
