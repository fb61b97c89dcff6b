"""The gate before a deployment: an image as a policy sees it. Only its registry is asked, and in seconds.

Neither a matrix nor a lock, an engine or a key of our own is looked at, and nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Self

from pipeline.adapters import signing_keys
from pipeline.adapters.registry import Registry
from pipeline.adapters.web.deadline import Bounds
from pipeline.formats.dsse import fingerprint
from pipeline.model import Acceptance, Digest, ImageRef, Reason, ReasonCode, Signer
from pipeline.model.errors import SigningError, UsageError
from pipeline.stages import attest, gate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from pipeline.adapters.places import Readable
    from pipeline.model import Attestations, Later, Policy, Repository, TagRef

PATIENCE = 3.0
"""Seconds for which a request is made again: whoever deploys would rather be told."""

REQUEST_SECONDS, TOTAL_SECONDS = 8.0, 30.0
"""For one request, and for all that is asked of the registry."""


@dataclass(frozen=True)
class Judge:
    """A policy, and the statements that count by it."""

    policy: Policy
    evidence: attest.Evidence

    @classmethod
    def by(cls, policy: Policy, keys: Iterable[Path] = ()) -> Self:
        """``keys`` are files of public keys that count beside those of the policy.

        Raises UsageError where there is none or one cannot be read.
        """
        policy = replace(policy, signers=(*policy.signers, *map(_signer, keys)))
        return cls(policy, _evidence(policy))

    def from_day(self, rule: Later) -> Self:
        """The same judge once a rule that comes later has begun, with all that begins before."""
        begun = datetime.combine(date.fromisoformat(rule.since), time(), UTC)
        return replace(self, policy=self.policy.as_of(begun))

    def registry(self, repository: Repository) -> Registry:
        """The registry of a repository, asked in seconds."""
        return Registry(repository, patience=PATIENCE, bounds=Bounds(REQUEST_SECONDS, TOTAL_SECONDS))

    def accept(self, asked: ImageRef | TagRef) -> Acceptance:
        """Whether the policy accepts what a reference names; a tag is resolved once.

        Raises RegistryError where the registry does not answer in time.
        """
        return self.accept_in(self.registry(asked.repository), asked)

    def accept_in(
        self, place: Readable, asked: ImageRef | TagRef, coming: Collection[str] = ()
    ) -> Acceptance:
        """The same by what lies in a place, a layout in a folder too, as if that were the reference's own.

        ``coming`` are the tags that are to name the image there, if it is accepted.
        """
        policy = self.policy
        if refused := gate.unnamed(asked, policy):
            return Acceptance(asked, _named(asked), policy.digest, (refused,))
        digest = _resolved(place, asked)
        if digest is None:
            text = f"there is no such {'image' if isinstance(asked, ImageRef) else 'tag'} in the registry"
            return Acceptance(asked, None, policy.digest, (Reason(ReasonCode.NO_IMAGE, text, gate.ANOTHER),))
        beside = self.evidence.attestations_of(place, digest)
        return gate.accept(
            asked,
            asked.repository.at(digest),
            beside,
            policy=policy,
            tags={*coming, *_publications(place, digest, beside)},
            now=datetime.now(UTC),
            names={
                key: " or ".join(one.name for one in entries) for key, entries in self.evidence.terms.items()
            },
        )


def accept(asked: ImageRef | TagRef, policy: Policy, keys: Iterable[Path] = ()) -> Acceptance:
    """Whether a policy accepts what a reference names, as :class:`Judge` says; it raises what that does."""
    return Judge.by(policy, keys).accept(asked)


def _resolved(registry: Readable, asked: ImageRef | TagRef) -> Digest | None:
    """The digest that a reference names, where the registry has it: of one by digest that very one."""
    if isinstance(asked, ImageRef):
        return asked.digest if registry.manifest(asked.digest) else None
    return registry.digest_of(asked.tag)


def _named(asked: ImageRef | TagRef) -> ImageRef | None:
    return asked if isinstance(asked, ImageRef) else None


def _signer(path: Path) -> Signer:
    """The public key in a file, as a signer of any day, by the file's name."""
    try:
        return Signer(path.stem, signing_keys.public_pem(signing_keys.read_public(path)).decode())
    except SigningError as error:  # the file is named on the command line
        raise UsageError(error.what, hint="name a public key in PEM with --key FILE") from error


def _evidence(policy: Policy) -> attest.Evidence:
    """The statements that count by a policy, each within the days of its signer."""
    if not policy.signers:
        raise UsageError(
            "the policy names no signers", hint="name their public keys, there or with --key FILE"
        )
    trusted, terms = {}, dict[str, tuple[Signer, ...]]()
    for signer in policy.signers:
        try:
            key = signing_keys.public_of(signer.key.encode(), f"signers: {signer.name}")
        except SigningError as error:
            raise UsageError(error.what, hint="write the public key into the policy as PEM") from error
        name = fingerprint(key)
        trusted[name] = key
        terms[name] = (*terms.get(name, ()), signer)
    return attest.Evidence(trusted, terms)


def _publications(registry: Readable, digest: Digest, beside: Attestations) -> frozenset[str]:
    """The tags of publications that name the image, of those that the records beside it would have."""
    tags = {gate.publication_tag(proof.record) for proof in beside.proofs}
    return frozenset(tag for tag in tags if registry.digest_of(tag) == digest)
