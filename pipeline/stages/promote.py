"""An image that a policy accepts, in another place too: the same digest, with its evidence and its tags.

A place is a registry, or a layout in a folder that is carried over where no network leads. The order is that
of a publication: what was signed, then the image by its digest, then, where what lies there now is
accepted too, its tags. So it may be ended at any moment, and to do it again completes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pipeline.adapters.places import Writable
from pipeline.adapters.registry import Registry
from pipeline.adapters.registry.limits import too_large
from pipeline.formats.units import size
from pipeline.model import Promotion, Reason, ReasonCode, is_immutable
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pipeline.adapters.layout import LayoutWriter
    from pipeline.adapters.places import Readable
    from pipeline.adapters.registry import Manifest
    from pipeline.model import Acceptance, Attestations, Digest, ImageRef, Proof

Place = TypeVar("Place", bound=Writable)


class Evidence(Protocol):
    """How signed statements are read and copied; the evidence stage does it, this one only asks it to."""

    def attestations_of(self, registry: Readable, digest: Digest) -> Attestations:
        """The statements beside this digest whose signatures hold, newest first."""

    def copy_all(self, source: Readable, destination: Writable, subject: Digest) -> int:
        """Store the very bytes of every statement in another place, and list all that lie there."""


class Judge(Protocol):
    """The gate for deployments, with a policy."""

    @property
    def evidence(self) -> Evidence:
        """The statements that count by the policy."""

    def accept_in(self, place: Readable, asked: ImageRef, coming: Collection[str] = ()) -> Acceptance:
        """Whether an image is accepted by what lies in a place, with tags that are to come."""


@dataclass(frozen=True)
class Way(Generic[Place]):
    """From where to where, and who decides. ``on_step`` is told what others can see, once it is done."""

    source: Readable
    destination: Place
    judge: Judge
    on_step: Callable[[str], None] = lambda _: None

    def there(self, digest: Digest) -> ImageRef:
        """An image in the destination."""
        return self.destination.repository.at(digest)


def store(way: Way[Place], digest: Digest) -> tuple[Reason, ...]:
    """Have an image in the destination, by its digest, with all that was signed of it; no tag is written.

    It is judged before, by what lies in the source, as if it were there: out come the reasons against it, and
    then nothing was written. Raises RegistryError where a place cannot be read or written, DiskError where
    a folder has no room.
    """
    manifest = _manifest(way.source, digest)
    is_registry = isinstance(way.destination, Registry)
    if is_registry and (large := too_large(manifest, way.destination.repository.host)):
        return (large,)
    acceptance = way.judge.accept_in(way.source, way.there(digest))
    if not acceptance.accepted:
        return _against(acceptance)
    if count := way.judge.evidence.copy_all(way.source, way.destination, digest):
        way.on_step(f"{digest}: {count} statements stored")
    if missing := way.destination.missing(manifest):
        way.on_step(f"{digest}: {len(missing)} blobs to come, {size(sum(blob.size for blob in missing))}")
        way.destination.mount_or_copy_blobs(missing, way.source)
        way.on_step(f"{digest}: blobs stored")
    if way.destination.digest_of(str(digest)) != digest:
        way.destination.put_manifest(manifest)
        way.on_step(f"{digest}: manifest stored")
    return ()


def label(way: Way[LayoutWriter], digest: Digest, tags: Sequence[str]) -> Promotion:
    """Have these tags name an image in a layout, as they do where it comes from."""
    manifest = _manifest(way.destination, digest)
    for tag in tags:
        way.destination.put_manifest(manifest, tag)
    return Promotion(way.there(digest), tuple(tags))


def tag(way: Way[Registry], digest: Digest, tags: Sequence[str]) -> Promotion:
    """Have these tags name an image in a registry, if what lies beside it there is accepted.

    An immutable tag never moves, and no other goes back to an image with an older proof: out come the reasons
    for those that do not name it. Raises RegistryError where the registry does not answer.
    """
    ref = way.there(digest)
    acceptance = way.judge.accept_in(way.destination, ref, tags)
    if not acceptance.accepted:
        return Promotion(ref, reasons=_against(acceptance))
    left = []
    for name in sorted(tags, key=lambda name: (not is_immutable(name), name)):
        now = way.destination.digest_of(name)
        against = _standing(way, name, now, acceptance.proofs[0]) if now not in (None, digest) else None
        if against:
            left.append(against)
        elif now != digest:
            way.destination.put_tag(name, digest)
            way.on_step(f"tag {name} written and read back")
    named = tuple(name for name in tags if way.destination.digest_of(name) == digest)
    return Promotion(ref, named, tuple(left))


def _standing(way: Way[Registry], name: str, now: Digest | None, ours: Proof) -> Reason | None:
    """Why a tag that names another image may not come to name ours, if so."""
    tag_, digest = way.destination.repository.tagged(name), ours.subject
    if now is None:
        return None
    if is_immutable(name):
        text = f"{tag_} is immutable and names {now}, not {digest}"
        return Reason(ReasonCode.TAG_IMMUTABLE, text, "find out who built the same inputs into another image")
    theirs = way.judge.accept_in(way.destination, way.there(now))
    if any(reason.code is ReasonCode.STATEMENT_MISSING for reason in theirs.reasons):
        text = f"{tag_} names {now}, which may be newer: some of what was signed of it is gone"
        return Reason(ReasonCode.TAG_UNKNOWN, text, "bring that one with its evidence, or remove the tag")
    proof = theirs.proofs[0] if theirs.accepted else None
    if proof is None or proof.record.cell != ours.record.cell or (proof.age, now) < (ours.age, digest):
        return None
    if way.judge.evidence.attestations_of(way.destination, now).moved_back_since(proof):
        return None
    text = f"{tag_} names {now}, proven at {proof.record.finished}; {digest} was proven before, at"
    hint = f"rollback {name} --to {digest} --repository {way.destination.repository} goes back"
    return Reason(ReasonCode.TAG_NEWER, f"{text} {ours.record.finished}", f"python -m pipeline {hint}")


def _against(acceptance: Acceptance) -> tuple[Reason, ...]:
    return (*acceptance.reasons, *acceptance.rejected)


def _manifest(place: Readable, digest: Digest) -> Manifest:
    manifest = place.manifest(digest)
    if manifest is None:
        raise RegistryError(f"{place.repository.at(digest)} is not there", hint="name an image that is there")
    return manifest
