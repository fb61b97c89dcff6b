"""One image, bundles really signed as they lie beside it, and what a policy says of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from pipeline.adapters import signing_keys
from pipeline.formats import dsse
from pipeline.model import Attestations, Digest, ImageFinding, Links, Outcome, Result, Severity, Signer
from pipeline.stages import attest, gate
from pipeline.stages.attest.store import FetchedBundle, attestations_in
from tests import builders
from tests.builders import CPU_CELL, NOW, REPOSITORY, check

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import Acceptance, Policy, Repository

OURS, ROTATED, STRANGER = (generate_private_key(SECP256R1()) for _ in range(3))
IMAGE = REPOSITORY.at(builders.IMAGE.ref.digest)
TAG = f"{CPU_CELL.id}-{builders.IMAGE.build_key[:12]}"
POLICY = builders.policy("serve", repositories={REPOSITORY: "published"})
FAILED: dict[str, Any] = {"result": Result.FAILED, "checks": (check("serve", Outcome.FAILED),)}
NOWHERE = ImageFinding(
    rule="closure",
    severity=Severity.ERROR,
    path="/opt/x.so",
    text="libx.so.1 is nowhere",
    why="it does not load",
    hint="install it",
)


def fingerprint(key: PrivateKey) -> str:
    return dsse.fingerprint(key.public_key())


def signer(key: PrivateKey, name: str = "team", since: str = "", until: str = "") -> Signer:
    return Signer(name, signing_keys.public_pem(key.public_key()).decode(), since, until)


def record(key: PrivateKey = OURS, links: Links = Links(), **changes: Any) -> bytes:  # noqa: B008 - it is frozen
    return attest.sign(builders.record(**changes), key, previous=links)


def certificate(key: PrivateKey = OURS, links: Links = Links(), **changes: Any) -> bytes:  # noqa: B008 - the same
    return attest.certificates.sign(builders.certificate(**changes), key, previous=links)


def rehearsal(key: PrivateKey = OURS, links: Links = Links(), **changes: Any) -> bytes:  # noqa: B008 - the same
    return attest.rehearsals.sign(builders.rehearsal(**changes), key, previous=links)


def transition(key: PrivateKey = OURS, links: Links = Links(), **changes: Any) -> bytes:  # noqa: B008 - the same
    return attest.transitions.sign(builders.transition(**changes), key, previous=links)


def scan(key: PrivateKey = OURS, links: Links = Links(), **changes: Any) -> bytes:  # noqa: B008 - the same
    return attest.scans.sign(builders.scan(**changes), REPOSITORY, key, previous=links)


@dataclass(frozen=True)
class Beside:
    """What lies beside the image, whose signatures count, and when."""

    bundles: tuple[bytes, ...]
    keys: tuple[tuple[PrivateKey, Signer], ...] = field(default_factory=lambda: ((OURS, signer(OURS)),))

    @property
    def attestations(self) -> Attestations:
        fetched = [FetchedBundle(Digest.of(body), body) for body in self.bundles]
        trusted = {fingerprint(key): key.public_key() for key, _ in self.keys}
        terms = {fingerprint(key): (entry,) for key, entry in self.keys}
        return attestations_in(fetched, IMAGE.digest, trusted, terms)

    def without(self, bundle: bytes) -> Beside:
        return replace(self, bundles=tuple(body for body in self.bundles if body != bundle))

    def and_also(self, *bundles: bytes) -> Beside:
        return replace(self, bundles=(*self.bundles, *bundles))

    def judged(
        self,
        policy: Policy = POLICY,
        *,
        tags: tuple[str, ...] = (TAG,),
        now: datetime = NOW,
        repository: Repository = REPOSITORY,
    ) -> Acceptance:
        image = repository.at(IMAGE.digest)
        names = {fingerprint(key): entry.name for key, entry in self.keys}
        return gate.accept(image, image, self.attestations, policy=policy, tags=tags, now=now, names=names)


GOOD = Beside((record(), certificate()))
"""An image with nothing against it."""
