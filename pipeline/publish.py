"""Tags, written last: a crash at any point leaves no tag on a digest without its proof.

The order is everything here. First the signed record is stored in the destination and read back;
then the image's blobs and its manifest, by digest; then the immutable tag; then the channels. Each
tag is read back, its manifest hashed, and every blob asked for. A registry cannot compare and swap,
so of two who publish at once the one whose tag was overwritten finds out by reading, and says so.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import RegistryError
from pipeline.nouns import Certified, Proof, Publication, Reason, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Literal

    from pipeline.nouns import Decision, Digest, Image
    from pipeline.registry import Manifest, Registry

PARALLEL = 8

HEAL = "see to the registry's disk, then run the same command again"


class Evidence(Protocol):
    """How signed records are read and copied; the evidence stage does it, this one only asks it to."""

    def beside(self, registry: Registry, digest: Digest) -> Beside:
        """The statements beside this digest whose signatures hold, newest first."""

    def copy(self, found: Proof | Certified, source: Registry, destination: Registry) -> None:
        """Store the very bytes of a statement in another repository."""


class Beside(Protocol):
    """What lies beside a digest."""

    @property
    def proofs(self) -> Sequence[Proof]:
        """Records of the suite."""

    @property
    def certificates(self) -> Sequence[Certified]:
        """What its files say."""


@dataclass(frozen=True)
class _Work:
    """One publication, from where to where, and what was found at its start."""

    image: Image
    proof: Proof
    certified: Certified
    source: Registry
    destination: Registry
    evidence: Evidence
    on_step: Callable[[str], None]
    manifest: Manifest
    before: dict[str, Digest]

    @property
    def digest(self) -> Digest:
        return self.image.ref.digest


def publish(
    image: Image,
    decision: Decision,
    source: Registry,
    destination: Registry,
    channels: tuple[str, ...],
    *,
    moves: Literal["forward", "never"],
    evidence: Evidence,
    on_step: Callable[[str], None] = lambda _: None,
) -> Publication | Reason:
    """Give a proven image its immutable tag and these channels in the destination.

    Out comes what the tags name and which were written (none where all was so already), or why it
    is refused, before anything was written, or because another publisher was faster. ``on_step`` is
    told each step that others can see, once it is done. Raises RegistryError where a registry does
    not answer, or does not keep what it said it has; a tag that it broke is set back first.
    """
    proof, certified = decision.proof, decision.certified
    if proof is None or certified is None or not decision.allowed:
        return _not_allowed(image)
    if {proof.subject, certified.subject} != {image.ref.digest}:
        return _not_allowed(image)
    tags = (image.immutable_tag, *channels)
    before = dict(published(destination, tags))
    refusal = _refusal(image, proof, destination, before, moves=moves, evidence=evidence)
    if refusal:
        return refusal
    manifest = source.manifest(image.ref.digest)
    if manifest is None:
        raise RegistryError(f"{image.ref} is not in the registry", hint="build it and verify it again")
    work = _Work(image, proof, certified, source, destination, evidence, on_step, manifest, before)
    _bring_proof(work)
    is_new = _bring_image(work)
    wanting = [tag for tag in tags if before.get(tag) != image.ref.digest]
    for tag in wanting:
        lost = _put_tag(work, tag, only_tag=is_new and tag == wanting[0])
        if lost:
            return lost
    for tag, digest in published(destination, wanting):
        if digest != image.ref.digest:
            return _race(work, tag)
    return Publication(image.cell, destination.repository.at(image.ref.digest), tags, tuple(wanting))


def published(registry: Registry, tags: Iterable[str]) -> tuple[tuple[str, Digest], ...]:
    """Which of these tags exist, and the digests that the registry says they name; asked in parallel."""
    names = tuple(dict.fromkeys(tags))
    with ThreadPoolExecutor(PARALLEL) as pool:
        digests = list(pool.map(registry.digest_of, names))
    return tuple((tag, digest) for tag, digest in zip(names, digests, strict=True) if digest)


# -- before anything is written -----------------------------------------------------------------------


def _refusal(
    image: Image,
    proof: Proof,
    destination: Registry,
    before: dict[str, Digest],
    *,
    moves: Literal["forward", "never"],
    evidence: Evidence,
) -> Reason | None:
    """Why one of the tags may not come to name this image, if so."""
    for tag, digest in before.items():
        name = destination.repository.tagged(tag)
        if digest == image.ref.digest:
            continue
        if tag == image.immutable_tag:
            text = f"{name} is immutable and names {digest}, not {image.ref.digest}"
            return Reason("tag-immutable", text, "find out who built the same inputs into another image")
        if moves == "never":
            text = f"{name} names {digest}, and the matrix says that tags never move"
            return Reason("tag-fixed", text, "set publish.moves to forward, or publish under another alias")
        newer = _newer_than(proof, evidence.beside(destination, digest).proofs)
        if newer:
            text = (
                f"{name} names {digest}, proven at {newer.record.finished}; "
                f"{image.ref.digest} was proven before, at {proof.record.finished}"
            )
            return Reason("tag-newer", text, f"python -m pipeline verify {image.cell.id}")
    return None


def _newer_than(ours: Proof, theirs: Sequence[Proof]) -> Proof | None:
    """A proof of theirs for our own cell that is newer; an alias may well leave another cell."""
    good = [
        one for one in theirs if one.record.cell == ours.record.cell and one.record.result != Result.FAILED
    ]
    newest = max(good, key=_age, default=None)
    return newest if newest and _age(newest) > _age(ours) else None


def _age(proof: Proof) -> datetime:
    return datetime.fromisoformat(proof.record.finished)


# -- in this order ------------------------------------------------------------------------------------


def _bring_proof(work: _Work) -> None:
    """What was signed first: what has a tag must never lack it, whenever we are ended."""
    missing = _not_there(work)
    for found in missing:
        work.evidence.copy(found, work.source, work.destination)
        work.on_step(f"{_NAMES[type(found)]} stored")
    if not missing:
        return
    for found in _not_there(work):
        raise RegistryError(
            f"{work.destination.repository} took the {_NAMES[type(found)]} {found.manifest} of {work.digest}"
            " and does not give it back",
            hint="run the same command again; if it stays so, name another registry with --repository",
        )
    work.on_step("what was signed read back")


_NAMES = {Certified: "certificate", Proof: "record"}


def _not_there(work: _Work) -> list[Certified | Proof]:
    """The certificate and the record, as far as the destination does not have them."""
    beside = work.evidence.beside(work.destination, work.digest)
    there = {one.manifest for one in beside.proofs} | {one.manifest for one in beside.certificates}
    wanted: tuple[Certified | Proof, ...] = (work.certified, work.proof)
    return [one for one in wanted if one.manifest not in there]


def _bring_image(work: _Work) -> bool:
    """Then the image, which nobody finds yet who does not know its digest; True where it was not there."""
    missing = work.destination.missing(work.manifest)
    if missing:
        work.destination.take_blobs(missing, work.source)
        work.on_step("blobs mounted")
    if work.destination.digest_of(str(work.digest)):
        return False
    work.destination.put_manifest(work.manifest)
    work.on_step("manifest stored")
    return True


def _put_tag(work: _Work, tag: str, *, only_tag: bool) -> Reason | None:
    """Then one tag, read back; a reason where another publisher moved it meanwhile."""
    current = work.destination.digest_of(tag)
    if current not in (work.before.get(tag), work.digest):
        return _race(work, tag)
    previous = work.destination.manifest(tag) if current else None
    try:
        work.destination.put_manifest(work.manifest, tag)
        work.on_step(f"tag {tag} written")
        now = _read_back(work, tag)
    except RegistryError as error:
        raise _set_back(work, tag, previous, error, only_tag=only_tag) from error
    if now != work.digest:
        return _race(work, tag)
    work.on_step(f"tag {tag} read back")
    return None


def _read_back(work: _Work, tag: str) -> Digest:
    """The digest of the bytes that the tag now gives; ours only with every blob of the image there."""
    now = work.destination.manifest(tag)
    if now is None or (now.digest == work.digest and work.destination.missing(work.manifest)):
        raise RegistryError(f"{work.destination.repository}:{tag} lacks its image", hint=HEAL)
    return now.digest


def _set_back(
    work: _Work, tag: str, previous: Manifest | None, error: RegistryError, *, only_tag: bool
) -> RegistryError:
    """Have the tag name what it named before, and say what became of it.

    A new tag can only be removed together with its manifest, and so with every other tag on it:
    that is done where no other can be, as the manifest came with this very publication.
    """
    name = work.destination.repository.tagged(tag)
    try:
        if previous:
            work.destination.put_manifest(previous, tag)
            became = f"it names {previous.digest} again"
        elif only_tag and work.destination.delete_manifest(work.digest):
            became = "it did not exist before, and was removed"
        else:
            became = "it did not exist before, and may exist now"
    except RegistryError as second:
        became = f"it could not be set back: {second.what}"
    return RegistryError(f"{name} was written and cannot be read: {error.what}; {became}", hint=error.hint)


def _race(work: _Work, tag: str) -> Reason:
    name = work.destination.repository.tagged(tag)
    text = f"{name}: another publisher moved it while {work.digest} was being published"
    return Reason("tag-race", text, f"run again: python -m pipeline publish {work.image.cell.id}")


def _not_allowed(image: Image) -> Reason:
    text = f"{image.cell.id}: the gate does not allow a tag on {image.ref}"
    return Reason("not-allowed", text, f"python -m pipeline gate {image.ref}")
