"""What was published is taken back: a digest is yanked, or a tag moved back to an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compat.explain.question import cell_of
from pipeline.model import Digest, Life, Reason, Retraction, is_immutable
from pipeline.model.errors import UsageError
from pipeline.runner import destined
from pipeline.runner.declaring import announcer, declare
from pipeline.runner.gatekeeping import MatrixGate
from pipeline.stages import publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.adapters.registry import Registry
    from pipeline.model import Cell
    from pipeline.runner.services import Services


def yank(services: Services, reference: str, reason: str, progress: Callable[[str], None]) -> Retraction:
    """Have no gate allow a digest again, and no tag of the destination name it.

    ``reference`` is a tag or a digest there. It is signed in the destination and in staging first; then its
    plain signature goes, which those ask for who read no statements; then each channel goes to the newest
    image of the cell whose evidence holds, or goes, and so does an immutable tag. To do it twice completes
    what was broken off. Raises UsageError where nothing of that name is there, SigningError without a key
    that counts, RegistryError where a registry does not answer.
    """
    destination = services.destination
    digest = destined.digest_of(services, reference)
    cell = _cell_of(services, digest)
    before = _tags_on(destination, digest)
    losing = dict.fromkeys(before, (digest, None))
    for registry in (destination, services.staging):
        if registry.digest_of(str(digest)) is None:
            continue
        if services.evidence.attestations_of(registry, digest).yanked is None:
            declare(services, registry, digest, life=Life.YANKED, cell=cell.id, tags=losing, reason=reason)
            progress(f"{registry.repository.at(digest)}: yanked, signed beside it")
    if services.signatures.revoke(digest):
        progress(f"{destination.repository.at(digest)}: its plain signature is gone, but for copies")
    left = publish.withdraw(
        destination,
        cell,
        before,
        evidence=services.evidence,
        gate=MatrixGate(services),
        on_step=progress,
        announce=announcer(services, cell.id, progress),
    )
    now = publish.named(destination, before)
    return Retraction(digest, cell.id, tuple((tag, now.get(tag)) for tag in before), left)


def roll_back(
    services: Services, tag: str, to: str | None, reason: str, progress: Callable[[str], None]
) -> Retraction:
    """Have a channel name an earlier image of its cell, whose evidence holds by today's policy.

    ``to`` is a digest, else it is the newest before what the tag names. What it named is published again
    after a newer proof only. Raises as :func:`yank` does, and UsageError for an immutable tag.
    """
    if is_immutable(tag):
        raise UsageError(f"{tag} is immutable", hint=f"yank it: python -m pipeline yank {tag} --reason …")
    destination = services.destination
    now = destined.digest_of(services, tag)
    cell = _cell_of(services, now)
    wanted = destined.parsed(to) if to else None
    if wanted == now:
        return Retraction(now, cell.id, ((tag, now),))
    target = publish.earlier(
        destination, cell, tag, now, wanted, evidence=services.evidence, gate=MatrixGate(services)
    )
    if isinstance(target, Reason):
        return Retraction(now, cell.id, reasons=(target,))
    move = {tag: (now, target)}
    for registry in (services.staging, destination):
        if registry.digest_of(str(now)) is not None:
            declare(services, registry, now, life=Life.SUPERSEDED, cell=cell.id, tags=move, reason=reason)
    publish.move(destination, tag, target)
    progress(f"tag {tag} moved back from {now} to {target}")
    return Retraction(now, cell.id, ((tag, target),))


def _cell_of(services: Services, digest: Digest) -> Cell:
    """The cell that the newest record beside a digest names. Raises UsageError where none does."""
    proofs = services.evidence.attestations_of(services.destination, digest).proofs
    named = proofs[0].record.cell if proofs else ""
    cell = next((cell for cell in services.matrix.cells if cell.id == named), None) or cell_of(named)
    if cell is None:
        what = f"{services.matrix.repository.at(digest)}: no record by a signer of the matrix lies beside it"
        raise UsageError(what, hint="python -m pipeline repair takes tags off what was never proven")
    return cell


def _tags_on(destination: Registry, digest: Digest) -> tuple[str, ...]:
    """Every tag that names a digest, whatever cell or alias it is called after."""
    return tuple(tag for tag, found in publish.tagged(destination).items() if found == digest)
