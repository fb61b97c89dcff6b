"""The history of a tag, read from what is signed beside the digests of its repository; there is no other."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipeline.model import Digest, History
from pipeline.model.errors import RegistryError
from pipeline.stages import publish

if TYPE_CHECKING:
    from pipeline.model import Declared
    from pipeline.runner.services import Services

PARALLEL = 8

_LIST = re.compile(r"sha256-([0-9a-f]{64})(\..*)?")
"""The tag of a list of what is signed beside a digest: it stays when the last tag of the image goes."""


def history(services: Services, tag: str) -> History:
    """Every transition of a tag in the destination that a trusted key signed, and what it names now.

    All digests are asked that have a tag, or something signed beside them. Raises RegistryError where the
    registry does not answer.
    """
    repository, destination = services.matrix.repository, services.destination
    if not services.has_registry(repository):
        raise RegistryError(f"there is no registry at {repository.host}", hint="name one with --repository")
    tags = destination.tags()
    signed = {Digest(f"sha256:{match[1]}") for name in tags if (match := _LIST.fullmatch(name))}
    named = publish.named(destination, [name for name in tags if not _LIST.fullmatch(name)])

    def declared(digest: Digest) -> tuple[Declared, ...]:
        return services.evidence.attestations_of(destination, digest).transitions

    with ThreadPoolExecutor(PARALLEL) as pool:
        found = [one for each in pool.map(declared, sorted({*signed, *named.values()})) for one in each]
    return History.of(repository.tagged(tag), destination.digest_of(tag), tuple(found))
