"""What of staging stays: what today's matrix builds, what a tag names, and what is young."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.formats.oci import INDEXES
from pipeline.model import Reason, ReasonCode, Retention, Staged, is_build_key, signed_digest
from pipeline.stages.publish import named

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pipeline.adapters.registry import Registry
    from pipeline.model import Digest, ImageRef
    from pipeline.stages.publish import Evidence

PARALLEL = 8


@dataclass(frozen=True)
class Keeper:
    """Says what stays in staging, and for what reason.

    ``current`` are the images that today's inputs give. What nobody signed anything of has no age that one
    could trust, so it stays, and so does what somebody has given a tag in staging that is no build key.
    """

    staging: Registry
    destination: Registry
    evidence: Evidence
    current: Collection[Digest]
    keep_days: int
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def look(self) -> tuple[Staged, ...]:
        """Every image of staging that has a tag, the oldest first, then those without any statement.

        Raises RegistryError where the registry does not answer.
        """
        tags: dict[Digest, list[str]] = {}
        for tag, digest in _images(self.staging).items():
            tags.setdefault(digest, []).append(tag)
        _ = self.published  # once, before it is asked in parallel
        with ThreadPoolExecutor(PARALLEL) as pool:
            found = pool.map(lambda each: self._staged(*each), tags.items())
            return tuple(sorted(found, key=lambda one: (not one.last, one.last, one.image.digest)))

    @cached_property
    def published(self) -> Mapping[Digest, str]:
        """What the tags of the destination name, each by one of them."""
        return {digest: tag for tag, digest in _images(self.destination).items()}

    def _staged(self, digest: Digest, tags: list[str]) -> Staged:
        beside = self.evidence.attestations_of(self.staging, digest)
        last = max((statement.day for statement in beside.statements), default="")
        return Staged(
            self.staging.repository.at(digest),
            tuple(sorted(tags)),
            last,
            self._why_it_stays(digest, tags, last),
        )

    def _why_it_stays(self, digest: Digest, tags: list[str], last: str) -> str:
        if digest in self.current:
            return "it is what today's inputs give"
        if tag := self.published.get(digest):
            return f"{self.destination.repository.tagged(tag)} names it"
        if other := next((tag for tag in tags if not is_build_key(tag)), ""):
            return f"somebody has called it {other}"
        if not last:
            return "no signer of the matrix says how old it is"
        if last >= (self.now - timedelta(days=self.keep_days)).date().isoformat():
            return f"it is kept for {self.keep_days} days"
        return ""


def retention(keeper: Keeper) -> Retention:
    """What stays, what would go, and how many bytes that would free. Raises RegistryError."""
    staged = keeper.look()
    going = {one.image.digest for one in staged if not one.stays}
    needed = _blobs(keeper.staging, (one.image.digest for one in staged if one.stays))
    needed |= _blobs(keeper.destination, keeper.published)
    freed = _blobs(keeper.staging, going)
    return Retention(staged, sum(size for blob, size in freed.items() if blob not in needed))


def remove(keeper: Keeper, progress: Callable[[str], None]) -> Retention:
    """Remove what nothing keeps; what has been signed beside it stays, so that a veto outlives its image.

    Raises RegistryError where the registry does not answer.
    """
    found = retention(keeper)
    removed: list[ImageRef] = []
    reasons: list[Reason] = []
    for one in found.going:
        if keeper.staging.delete_manifest(one.image.digest):
            removed.append(one.image)
            progress(f"{one.image}: removed; the last statement beside it is of {one.last}")
        else:
            text = f"{one.image}: this registry removes no images"
            reasons.append(Reason(ReasonCode.TAG_LEFT, text, "remove it by the registry's own means"))
    return Retention(found.staged, found.freed, tuple(removed), tuple(reasons))


def _images(registry: Registry) -> dict[str, Digest]:
    """The tags of a repository's images, and their digests."""
    return named(registry, [tag for tag in registry.tags() if not signed_digest(tag)])


def _blobs(registry: Registry, digests: Iterable[Digest]) -> dict[Digest, int]:
    """The blobs of these images, by their sizes; an index has none of its own."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        manifests = [manifest for manifest in pool.map(registry.manifest, digests) if manifest]
    images = (manifest for manifest in manifests if manifest.media_type not in INDEXES)
    return {blob.digest: blob.size for image in images for blob in image.blobs}
