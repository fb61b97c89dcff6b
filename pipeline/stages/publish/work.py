"""One publication: what is published from where to where, and whom it asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pipeline.model import Reason, ReasonCode, signed_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pipeline.adapters.registry import Manifest, Registry
    from pipeline.model import Attestations, Decision, Digest, Image, Proof, Statement

PARALLEL = 8

Announce: TypeAlias = "Callable[[Digest, Mapping[str, Digest | None], str], None]"
"""Signs beside a digest that tags come to name it, what each named before, and why, before they do."""


def unannounced(_digest: Digest, _before: Mapping[str, Digest | None], _why: str) -> None:
    """Tags move and nothing says so."""


class Signatures(Protocol):
    """How an image of the destination is signed plainly; the evidence stage does it, this one asks it to."""

    def sign(self, digest: Digest) -> bool:
        """Sign an image; whether there was anything to do."""

    def revoke(self, digest: Digest) -> bool:
        """Take its signatures away; whether there was one."""


class _Unsigned:
    """Nothing is signed plainly, and nothing is taken away."""

    def sign(self, _digest: Digest) -> bool:
        return False

    def revoke(self, _digest: Digest) -> bool:
        return False


UNSIGNED = _Unsigned()


class Evidence(Protocol):
    """How signed statements are read and copied; the evidence stage does it, this one only asks it to."""

    def attestations_of(self, registry: Registry, digest: Digest) -> Attestations:
        """The statements beside this digest whose signatures hold, newest first."""

    def copy(
        self,
        statements: Sequence[Statement],
        source: Registry,
        destination: Registry,
        subject: Digest,
    ) -> None:
        """Store the very bytes of statements in another repository, and list all that lie there."""


class TagGate(Protocol):
    """How the gate judges images that have tags, by today's policy; this stage only asks it to."""

    def holds(self, digest: Digest, attestations: Attestations) -> Proof | None:
        """The proof by which a digest keeps the tags that it has; None where it may not."""


class ImageGate(TagGate, Protocol):
    """How it judges the image that is published, too."""

    def decide(self, attestations: Attestations) -> Decision:
        """The image that is published, by what lies beside it in the destination."""


@dataclass(frozen=True)
class Work:
    """One publication, and what was found at its start.

    ``before`` are the digests that the tags named then, ``published`` those of the immutable tags that images
    of the cell had then. ``why`` is what is announced of it. ``written`` gathers the tags that it wrote.
    """

    image: Image
    channels: tuple[str, ...]
    source: Registry
    destination: Registry
    evidence: Evidence
    gate: ImageGate
    on_step: Callable[[str], None]
    manifest: Manifest
    before: dict[str, Digest]
    published: dict[str, Digest]
    announce: Announce
    signatures: Signatures
    why: str
    written: set[str] = field(default_factory=set)

    @property
    def digest(self) -> Digest:
        """What is published."""
        return self.image.ref.digest

    @property
    def tags(self) -> tuple[str, ...]:
        """What is to name it; the immutable tag first, which tells other publishers of it."""
        return (self.image.immutable_tag, *self.channels)

    def holds(self, digest: Digest) -> Proof | None:
        """The proof by which an image keeps its tags in the destination, by what lies beside it there now."""
        return self.gate.holds(digest, self.evidence.attestations_of(self.destination, digest))

    def name(self, tag: str) -> str:
        """A tag in full, for messages."""
        return str(self.destination.repository.tagged(tag))

    def again(self) -> str:
        """The command that tries once more."""
        return f"run again: python -m pipeline publish {self.image.cell.id}"

    def race(self, tag: str, named: Digest | None) -> Reason:
        """What the loser is told."""
        text = (
            f"{self.name(tag)}: another publisher moved it to {named or 'nothing'}"
            f" while {self.digest} was being published"
        )
        return Reason(ReasonCode.TAG_RACE, text, self.again())


def tagged(registry: Registry) -> dict[str, Digest]:
    """The tags of a repository's images, and the digests that they name; lists of statements are none."""
    return named(registry, [tag for tag in registry.tags() if not signed_digest(tag)])


def named(registry: Registry, tags: Iterable[str]) -> dict[str, Digest]:
    """Which of these tags exist, and the digests of the bytes that they name; asked in parallel."""
    names = tuple(dict.fromkeys(tags))
    with ThreadPoolExecutor(PARALLEL) as pool:
        digests = list(pool.map(registry.digest_of, names))
    return {tag: digest for tag, digest in zip(names, digests, strict=True) if digest}
