"""Whose signatures count here: the matrix's signers', or, where it names none, this machine's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.adapters import signing_keys
from pipeline.stages import attest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.formats.dsse import PublicKey
    from pipeline.model import Matrix


@dataclass(frozen=True)
class Trust:
    """Whose signatures count by a matrix. ``key_pem`` is the private key that was handed over, if any."""

    matrix: Matrix
    key_pem: str | None = field(default=None, repr=False)

    @cached_property
    def signers(self) -> Mapping[str, PublicKey]:
        """The public keys that the matrix names. Raises SigningError where one cannot be read."""
        return signing_keys.trusted(signing_keys.read_public(path) for path in self.matrix.signers)

    @property
    def evidence(self) -> attest.Evidence:
        """The attestations that count. Where this machine has no key yet, nobody's: none is made to read.

        Raises SigningError; UsageError for a given key that is none.
        """
        if self.signers:
            return attest.Evidence(self.signers)
        given = self.key_pem is not None
        own = signing_keys.load(pem=self.key_pem).public_key() if given else signing_keys.own_public()
        return attest.Evidence(signing_keys.trusted([own] if own else []))
