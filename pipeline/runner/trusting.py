"""Whose signatures count here: the matrix's signers', or, where it names none, this machine's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.adapters import signing_keys
from pipeline.model import Signer
from pipeline.model.errors import UsageError
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

    def as_signers(self) -> tuple[Signer, ...]:
        """Those whose signatures count, by name, for a policy: of files that of the file.

        Raises SigningError; UsageError for a given key that is none, and where nobody's signatures count.
        """
        keys = [(path.stem, signing_keys.read_public(path)) for path in self.matrix.signers]
        if not keys and (own := self._own):
            keys = [("this machine", own)]
        if not keys:
            what = f"{self.matrix.path}: `verify: signers:` names nobody, and this machine has no key"
            raise UsageError(what, hint="name the public keys of those who sign there")
        return tuple(Signer(name, signing_keys.public_pem(key).decode()) for name, key in keys)

    @property
    def evidence(self) -> attest.Evidence:
        """The attestations that count. Where this machine has no key yet, nobody's: none is made to read.

        Raises SigningError; UsageError for a given key that is none.
        """
        if self.signers:
            return attest.Evidence(self.signers)
        own = self._own
        return attest.Evidence(signing_keys.trusted([own] if own else []))

    @property
    def _own(self) -> PublicKey | None:
        """The public part of the given key, else of this machine's; None where it has none."""
        given = self.key_pem is not None
        return signing_keys.load(pem=self.key_pem).public_key() if given else signing_keys.own_public()
