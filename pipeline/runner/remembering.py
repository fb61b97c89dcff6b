"""The history of a tag, read from what is signed beside the digests of its repository; there is no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipeline.model import History, signed_digest
from pipeline.runner import destined
from pipeline.stages import publish

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry
    from pipeline.model import Declared, Digest
    from pipeline.runner.services import Services

PARALLEL = 8


def history(services: Services, tag: str) -> History:
    """Every transition of a tag in the destination that a trusted key signed, and what it names now.

    Raises RegistryError where the registry does not answer.
    """
    repository, destination = services.matrix.repository, services.destination
    destined.require_registry(services)
    _, transitions = remembered(destination, services.evidence)
    return History.of(repository.tagged(tag), destination.digest_of(tag), transitions)


def remembered(
    registry: Registry, evidence: publish.Evidence
) -> tuple[dict[str, Digest], tuple[Declared, ...]]:
    """The tags of a repository's images, and every transition beside one that has a tag, or a list.

    Raises RegistryError where the registry does not answer.
    """
    tags = registry.tags()
    signed = {digest for name in tags if (digest := signed_digest(name))}
    named = publish.named(registry, [name for name in tags if not signed_digest(name)])
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = pool.map(
            lambda digest: evidence.attestations_of(registry, digest).transitions,
            sorted({*signed, *named.values()}),
        )
        return named, tuple(one for each in found for one in each)
