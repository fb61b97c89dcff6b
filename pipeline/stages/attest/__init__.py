"""Attestations: what was seen of an image, signed, and stored as referrers of its manifest.

    records       what the suite saw, as in-toto's test-result
    certificates  what the files say
    rehearsals    what was seen without the GPU that the image needs
    transitions   what became of it: published, superseded, yanked
    scans         which known weaknesses are in it, in in-toto's type
    documents     what it is made of and how, in other people's formats
    parts         what a day with a GPU showed; beside no image
    deployments   what a server answered that runs already; beside no image
    kept          a record that somebody kept, to be tried again
    predicates    statements of types of our own
    links         the attestations before each, which it names
    store         the attestations of an image in a registry, and the lists of them
    signatures    the plain signature of an image, for those who read nothing else
    cleaning      what hides them, removed

They are signed and verified by :mod:`pipeline.formats.dsse`. A signature says who stated something, not that
the image is good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.stages.attest import (
    certificates,
    deployments,
    documents,
    parts,
    rehearsals,
    scans,
    store,
    transitions,
)
from pipeline.stages.attest.cleaning import clean
from pipeline.stages.attest.kept import record_in
from pipeline.stages.attest.records import ANY_IMAGE, BARE_METAL, PREDICATE, sign, statement
from pipeline.stages.attest.signatures import Signatures
from pipeline.stages.attest.store import attach, attestations_of, complete_lists, copy, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.adapters.places import Readable, Writable
    from pipeline.adapters.registry import Registry
    from pipeline.formats.dsse import PublicKey
    from pipeline.model import Attestations, Digest, Signed, Signer

__all__ = [
    "ANY_IMAGE",
    "BARE_METAL",
    "PREDICATE",
    "Evidence",
    "Signatures",
    "attach",
    "attestations_of",
    "certificates",
    "clean",
    "complete_lists",
    "copy",
    "deployments",
    "documents",
    "parts",
    "read",
    "record_in",
    "rehearsals",
    "scans",
    "sign",
    "statement",
    "transitions",
]


@dataclass(frozen=True)
class Evidence:
    """The attestations of images that count for those who trust these keys (by fingerprint), within terms."""

    trusted: Mapping[str, PublicKey]
    terms: Mapping[str, Sequence[Signer]] = field(default_factory=dict)

    def attestations_of(self, registry: Readable, digest: Digest) -> Attestations:
        """The attestations of an image. Raises RegistryError where the registry does not answer."""
        return attestations_of(registry, digest, self.trusted, self.terms)

    def copy(
        self,
        statements: Sequence[Signed],
        source: Registry,
        destination: Registry,
        subject: Digest,
    ) -> None:
        """Store the very bytes of statements elsewhere too. Raises RegistryError as :func:`copy` does."""
        store.copy(statements, source, destination, subject)

    def copy_all(self, source: Readable, destination: Writable, subject: Digest) -> int:
        """Store every bundle beside an image in another place too, whoever signed it; says how many."""
        return store.copy_all(source, destination, subject)
