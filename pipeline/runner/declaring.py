"""Transitions, signed beside the digest that they are about."""

from __future__ import annotations

import getpass
import os
import platform
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import Life, TagMove, Transition
from pipeline.stages import attest
from pipeline.stages.publish import unannounced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.adapters.registry import Registry
    from pipeline.model import Digest
    from pipeline.runner.services import Services
    from pipeline.stages.publish import Announce


def declare(
    services: Services,
    registry: Registry,
    digest: Digest,
    *,
    life: Life,
    cell: str,
    tags: Mapping[str, tuple[Digest | None, Digest | None]],
    reason: str,
) -> None:
    """Sign what a digest becomes, and keep that beside it in a registry.

    ``tags`` are what each tag names before and after. Raises SigningError without a key that counts here,
    RegistryError where the registry does not take it.
    """
    moves = {tag: TagMove(before=_text(before), after=_text(after)) for tag, (before, after) in tags.items()}
    transition = Transition(
        schema=1,
        life=life,
        repository=str(services.matrix.repository),
        digest=str(digest),
        cell=cell,
        tags=moves,
        reason=reason,
        actor=actor(os.environ),
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    links = services.evidence.attestations_of(registry, digest).links
    bundle = attest.transitions.sign(
        transition,
        services.signing_key,
        previous=replace(links, lost=()),  # only a proof may do without what is gone
    )
    attest.attach(registry, registry.repository.at(digest), bundle)


def announcer(services: Services, cell: str, progress: Callable[[str], None]) -> Announce:
    """How it is signed in the destination which tags come to name which of a cell's images.

    Where this machine has no key that counts, nothing is signed, and that is said: to publish what was proven
    elsewhere takes none.
    """
    if services.can_sign:
        return partial(_announce, services, cell)
    progress("no key here that counts: the image is not signed plainly, and no move of its tags is")
    return unannounced


def _announce(
    services: Services, cell: str, digest: Digest, before: Mapping[str, Digest | None], why: str
) -> None:
    moves = {tag: (previous, digest) for tag, previous in before.items()}
    declare(services, services.destination, digest, life=Life.PUBLISHED, cell=cell, tags=moves, reason=why)


def actor(environment: Mapping[str, str]) -> str:
    """Who does this, as this machine says: a run of a workflow, or a user and the host's name."""
    if repository := environment.get("GITHUB_REPOSITORY"):
        server = environment.get("GITHUB_SERVER_URL", "")
        run = environment.get("GITHUB_RUN_ID", "")
        return f"{environment.get('GITHUB_ACTOR', 'a workflow')}, {server}/{repository}/actions/runs/{run}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without an entry in passwd, as in a container
        user = f"user {os.getuid()}"
    return f"{user}@{platform.node()}"


def _text(digest: Digest | None) -> str | None:
    return str(digest) if digest else None
