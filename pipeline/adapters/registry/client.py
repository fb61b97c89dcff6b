"""One repository of one registry: its contents, and what refers to a manifest in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.adapters.registry import referrers
from pipeline.adapters.registry.contents import Contents
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.registry.referrers import Referrers
    from pipeline.formats.oci import Descriptor, Manifest
    from pipeline.model import Digest

HEAL = "see to the registry's disk, then run the same command again"

PAUSE = 0.2
"""Seconds between two readings of a tag: a registry may show what was written only after a while."""


class Registry(Contents):
    """One repository of one registry. Cheap to make: connections are shared by all of the same host.

    ``patience`` is the number of seconds for which one request is repeated while the registry is
    away or busy; ``bounds`` are for whoever has less time. Every method raises RegistryError where we
    could not find out or could not write.
    """

    def referrers(
        self, subject: Digest, artifact_type: str, *, max_count: int = referrers.MAX_REFERRERS
    ) -> Referrers:
        """See :func:`pipeline.adapters.registry.referrers.referrers_of`."""
        return referrers.referrers_of(self, subject, artifact_type, max_count=max_count)

    def attach(
        self, subject: Descriptor, artifact_type: str, body: bytes, annotations: Mapping[str, str]
    ) -> Digest:
        """See :func:`pipeline.adapters.registry.referrers.attach`."""
        return referrers.attach(self, subject, artifact_type, body, annotations)

    def put_referrer(self, manifest: Manifest) -> Digest:
        """See :func:`pipeline.adapters.registry.referrers.put`."""
        return referrers.put(self, manifest)

    def put_tag(self, tag: str, digest: Digest) -> None:
        """Have a tag name an image that is whole here, and read it back. Raises RegistryError otherwise."""
        manifest = self.manifest(digest)
        if manifest is None or self.missing(manifest):
            raise RegistryError(f"{self.repository.at(digest)} is not whole any more", hint=HEAL)
        self.put_manifest(manifest, tag)
        deadline = time.monotonic() + self.patience
        while (now := self.digest_of(tag)) != digest:
            if time.monotonic() > deadline:
                what = f"{self.repository.tagged(tag)} was written, and names {now or 'nothing'}"
                raise RegistryError(what, hint=HEAL)
            time.sleep(PAUSE)
