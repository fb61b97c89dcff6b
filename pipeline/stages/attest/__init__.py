"""What was seen of an image, as others can check it: signed statements, stored beside the image.

``records`` states what the suite saw, as in-toto's test-result; ``certificates`` what the files say;
``envelope`` seals a statement (DSSE, ECDSA P-256, a sigstore bundle) and opens one with suspicion;
``store`` keeps them in the registry, ``links`` has each name those before it, and ``cleaning`` takes away
what lies in their way. A signature says who stated it, not that it is good news.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.stages.attest import certificates, store
from pipeline.stages.attest.cleaning import clean
from pipeline.stages.attest.records import BARE_METAL, PREDICATE, sign, statement
from pipeline.stages.attest.store import attach, attestations_of, complete_lists, copy, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.adapters.registry import Registry
    from pipeline.formats.dsse import PublicKey
    from pipeline.model import Attestations, Certified, Digest, Proof

__all__ = [
    "BARE_METAL",
    "PREDICATE",
    "Evidence",
    "attach",
    "attestations_of",
    "certificates",
    "clean",
    "complete_lists",
    "copy",
    "read",
    "sign",
    "statement",
]


@dataclass(frozen=True)
class Evidence:
    """The signed statements beside images, as those see them who trust these keys (by fingerprint)."""

    trusted: Mapping[str, PublicKey]

    def attestations_of(self, registry: Registry, digest: Digest) -> Attestations:
        """What lies beside an image. Raises RegistryError where the registry does not answer."""
        return attestations_of(registry, digest, self.trusted)

    def copy(
        self, found: Sequence[Proof | Certified], source: Registry, destination: Registry, subject: Digest
    ) -> None:
        """Store the very bytes of statements elsewhere too. Raises RegistryError as :func:`copy` does."""
        store.copy(found, source, destination, subject)
