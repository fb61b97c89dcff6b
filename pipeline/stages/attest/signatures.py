"""The plain signature of an image, beside what is stated of it: podman, CRI-O and Talos read nothing else.

It says who signed a digest, never what was seen of it or how long that counts. So publication makes it, of
what the gate allows, and what takes an image's tags for good takes it away. Our own gate reads it nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.adapters.registry import Manifest
from pipeline.adapters.registry.referrers import MAX_ROUNDS, complete_list, fallback_tag, read_list
from pipeline.formats import simple_signing
from pipeline.model import Digest, canonical
from pipeline.model.errors import RegistryError
from pipeline.stages.attest.store import COSIGN_CONFIG, COSIGN_EMPTY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.registry import Registry
    from pipeline.adapters.registry.referrers import SharedList
    from pipeline.formats.dsse import PrivateKey, PublicKey
    from pipeline.model import Repository


@dataclass(frozen=True)
class Signatures:
    """The plain signatures in one repository, which they name as records do.

    ``trusted`` are the public keys, by fingerprint, whose signatures are ours to see and to take away;
    ``key`` makes them, None where nobody here may.
    """

    registry: Registry
    repository: Repository
    trusted: Mapping[str, PublicKey]
    key: PrivateKey | None = None

    def has(self, digest: Digest) -> bool:
        """Whether a trusted key signed an image. Raises RegistryError where the registry does not answer."""
        is_signed = any(self._is_ours(entry, digest) for entry in list_of(self.registry, digest).entries)
        return is_signed and self.registry.has_blob(Digest.of(self._payload(digest)))

    def sign(self, digest: Digest) -> bool:
        """Sign an image, unless this key did; what others signed stays. Says whether it had to be done.

        Raises ContentError where something else than a list is in the place of it, RegistryError where the
        registry does not answer.
        """
        key, made = self.key, False
        if key is None:
            return False
        image, public = self.repository.at(digest), key.public_key()
        new = simple_signing.entry(image, key)

        def look() -> tuple[SharedList, list[dict[str, Any]]]:
            nonlocal made
            self.registry.put_blob(self._payload(digest))
            current = list_of(self.registry, digest)
            is_signed = any(simple_signing.is_by(entry, image, public) for entry in current.entries)
            if is_signed or current.obstacle:
                return current, []
            self.registry.put_blob(COSIGN_CONFIG)
            made = True
            return current, [new]

        complete_list(self.registry, digest, look)
        return made

    def revoke(self, digest: Digest) -> bool:
        """Take the signatures of every trusted key off an image; says whether there was one.

        The list stays, with what others signed, as not every registry removes a tag. Whoever has copied a
        signature has it still. Raises RegistryError where the registry does not answer.
        """
        for turn in range(MAX_ROUNDS):
            current = list_of(self.registry, digest)
            kept = [entry for entry in current.entries if not self._is_ours(entry, digest)]
            if kept == current.entries:
                return turn > 0
            body = canonical({**current.document, current.member: kept})
            self.registry.put_manifest(Manifest(body, current.media_type), current.tag)
        raise RegistryError(
            f"{self.registry.repository}:{current.tag}: others go on overwriting this list of signatures",
            hint="wait until they have ended, then run the same command again",
        )

    def _is_ours(self, entry: Any, digest: Digest) -> bool:
        """Whether an entry of a list is a trusted key's signature of an image."""
        image = self.repository.at(digest)
        return any(simple_signing.is_by(entry, image, key) for key in self.trusted.values())

    def _payload(self, digest: Digest) -> bytes:
        return simple_signing.payload(self.repository.at(digest))


def list_of(registry: Registry, digest: Digest) -> SharedList:
    """The list of an image's plain signatures, where cosign and containers/image look for it."""
    return read_list(registry, f"{fallback_tag(digest)}.sig", "layers", COSIGN_EMPTY)
