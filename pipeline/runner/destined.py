"""Tags and digests of the destination, as somebody types them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Digest, ImageRef
from pipeline.model.errors import RegistryError, UsageError

if TYPE_CHECKING:
    from pipeline.runner.services import Services


def require_registry(services: Services) -> None:
    """Raise RegistryError where there is no registry to read the destination from."""
    repository = services.matrix.repository
    if not services.has_registry(repository):
        raise RegistryError(f"there is no registry at {repository.host}", hint="name one with --repository")


def digest_of(services: Services, reference: str) -> Digest:
    """The digest that a tag or a digest of the destination names. Raises UsageError where there is none."""
    require_registry(services)
    repository = services.matrix.repository
    text = _within(services, reference)
    digest = services.destination.digest_of(text)
    if digest is None:
        what = f"{repository} has no {'digest' if text.startswith('sha256:') else 'tag'} {text}"
        raise UsageError(what, hint="python -m pipeline plan names the tags; --repository another repository")
    return digest


def _within(services: Services, reference: str) -> str:
    """A reference without its repository, which has to be the destination. Raises UsageError."""
    if "@" not in reference:
        prefix = f"{services.matrix.repository}:"
        return reference.removeprefix(prefix)
    try:
        image = ImageRef.parse(reference)
    except ValueError as error:
        raise UsageError(str(error), hint="write a tag, or sha256:… with all 64 hex digits") from error
    if image.repository != services.matrix.repository:
        what = f"{image.repository} is not what the matrix publishes to, {services.matrix.repository}"
        raise UsageError(what, hint=f"--repository {image.repository}")
    return str(image.digest)


def parsed(text: str) -> Digest:
    """A digest as it was typed. Raises UsageError for anything else."""
    try:
        return Digest(text.rpartition("@")[2])
    except ValueError as error:
        raise UsageError(str(error), hint="write sha256:… with all 64 hex digits") from error
