"""What of staging stays: what today's matrix builds, what a tag names, and what is young."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.formats.oci import INDEXES
from pipeline.model import Reason, ReasonCode, Retention, Staged, is_build_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pipeline.adapters.registry import Registry
    from pipeline.model import Attestations, Digest, ImageRef

PARALLEL = 8


@dataclass(frozen=True)
class Keeper:
    """Says what stays in staging, and for what reason.

    ``staged`` and ``published`` are the tags of the images in staging and in the destination, ``beside``
    gives what lies beside an image of staging, and ``current`` are those that today's inputs give. What
    nobody signed anything of has no age that one could trust, so it stays, and so does what somebody has
    given a tag in staging that is no build key.
    """

    staging: Registry
    destination: Registry
    staged: Mapping[str, Digest]
    published: Mapping[str, Digest]
    beside: Callable[[Digest], Attestations]
    current: Collection[Digest]
    keep_days: int
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def look(self) -> tuple[Staged, ...]:
        """Every image of staging that has a tag, the oldest first, then those without any statement.

        Raises RegistryError where the registry does not answer.
        """
        with ThreadPoolExecutor(PARALLEL) as pool:
            found = tuple(pool.map(self._look_at, dict.fromkeys(self.staged.values())))
        return tuple(sorted(found, key=lambda one: (not one.last, one.last, one.image.digest)))

    def _look_at(self, digest: Digest) -> Staged:
        tags = tuple(sorted(_of(digest, self.staged)))
        last = max((statement.day for statement in self.beside(digest).signed), default="")
        stays = self._why_it_stays(digest, tags, last)
        return Staged(self.staging.repository.at(digest), tags, last, stays)

    def _why_it_stays(self, digest: Digest, tags: tuple[str, ...], last: str) -> str:
        if digest in self.current:
            return "it is what today's inputs give"
        if names := _of(digest, self.published):
            return f"{self.destination.repository.tagged(names[0])} names it"
        if given := [tag for tag in tags if not is_build_key(tag)]:
            return f"somebody has called it {given[0]}"
        if not last:
            return "no signer of the matrix says how old it is"
        if last >= (self.now - timedelta(days=self.keep_days)).date().isoformat():
            return f"it is kept for {self.keep_days} days"
        return ""


def retention(keeper: Keeper) -> Retention:
    """What stays, what would go, and how many bytes that would free. Raises RegistryError."""
    staged = keeper.look()
    freed = _blobs(keeper.staging, (one.image.digest for one in staged if not one.stays))
    if not freed:
        return Retention(staged, 0)
    needed = _blobs(keeper.staging, (one.image.digest for one in staged if one.stays))
    needed |= _blobs(keeper.destination, {*keeper.published.values()})
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


def _of(digest: Digest, tags: Mapping[str, Digest]) -> list[str]:
    """The tags that name a digest."""
    return [tag for tag, named in tags.items() if named == digest]


def _blobs(registry: Registry, digests: Iterable[Digest]) -> dict[Digest, int]:
    """The blobs of these images, by their sizes; an index has none of its own."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        manifests = [manifest for manifest in pool.map(registry.manifest, digests) if manifest]
    images = (manifest for manifest in manifests if manifest.media_type not in INDEXES)
    return {blob.digest: blob.size for image in images for blob in image.blobs}
