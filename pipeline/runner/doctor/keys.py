"""The key that would sign here, and whether what it signs counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.adapters import environ, signing_keys
from pipeline.formats.dsse import fingerprint
from pipeline.model.errors import SigningError, UsageError
from pipeline.model.examinations import Aspect, Standing

if TYPE_CHECKING:
    from pipeline.runner.services import Services


def key(services: Services | None) -> Aspect:
    """The key of this user, or the given one; none is made."""
    try:
        return _judged(services)
    except (SigningError, UsageError) as error:
        return Aspect("key", Standing.BROKEN, error.what, error.hint)


def _judged(services: Services | None) -> Aspect:
    given = services.settings.key_pem if services else None
    public = services.key.public_key() if services and given is not None else signing_keys.own_public()
    signers = services.matrix.signers if services else ()
    counting = ", ".join(services.evidence.trusted) if services and signers else ""
    add = "give a signer's key in TAGPROOF_KEY, or add the public key of this one to `verify: signers:`"
    if public is None and counting:
        return Aspect("key", Standing.LIMITED, f"none is here, and only these count: {counting}", add)
    if public is None and environ.is_ci():
        return Aspect("key", Standing.LIMITED, "none is here, and none is made where CI is set", add)
    if public is None:
        return Aspect("key", Standing.GOOD, "none yet: one is made with the first proof")
    name = f"{fingerprint(public)}{', given in TAGPROOF_KEY' if given is not None else ''}"
    if counting and services and fingerprint(public) not in services.evidence.trusted:
        return Aspect("key", Standing.LIMITED, f"{name}; by the matrix only these count: {counting}", add)
    scope = (
        "a signer of the matrix" if counting else "trusted on this machine alone: the matrix names no signers"
    )
    return Aspect("key", Standing.GOOD, f"{name}; {scope}")
