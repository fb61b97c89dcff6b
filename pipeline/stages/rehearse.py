"""Rehearse an image that needs a GPU, before one is taken: what its checks saw, as it is signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Rehearsal, rehearsal_versions_of

if TYPE_CHECKING:
    from pipeline.model import Check, Host, Image, Repository


def rehearsal(
    image: Image,
    repository: Repository,
    checks: tuple[Check, ...],
    *,
    host: Host,
    started: str,
    finished: str,
) -> Rehearsal:
    """What a rehearsal saw of an image that is to be published there. Times are RFC 3339, UTC."""
    return Rehearsal(
        schema=1,
        cell=image.cell.id,
        repository=str(repository),
        digest=image.ref.digest.value,
        build_key=image.build_key,
        lock=image.lock,
        versions=rehearsal_versions_of(image.cell.vllm),
        host=host,
        started=started,
        finished=finished,
        checks=checks,
    )
