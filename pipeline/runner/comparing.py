"""Two digests of a repository, described by what was signed beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Described, Difference
from pipeline.model.errors import UsageError
from pipeline.runner import destined

if TYPE_CHECKING:
    from pipeline.runner.services import Services


def compare(services: Services, before: str, after: str) -> Difference:
    """What is otherwise in one image of the destination than in another; each is a tag or a digest there.

    Raises UsageError where one is not there or has no certificate by a signer, RegistryError where the
    registry does not answer.
    """
    return Difference(_described(services, before), _described(services, after))


def _described(services: Services, reference: str) -> Described:
    image = services.matrix.repository.at(destined.digest_of(services, reference))
    beside = services.evidence.attestations_of(services.destination, image.digest)
    if not beside.certificates:
        what = f"{image}: no certificate by a signer of the matrix lies beside it"
        raise UsageError(what, hint="compare what was published; which IMAGE says what any image is")
    return Described(image, beside.certificates[0].certificate, beside.newest_record_of(image.digest))
