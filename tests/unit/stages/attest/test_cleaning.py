"""Cleaning: what lies in the way of statements goes, and nothing that somebody may have signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.registry import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from pipeline.formats import dsse
from pipeline.model import (
    Attestations,
    Digest,
    canonical,
)
from pipeline.model.errors import RegistryError
from pipeline.stages import attest
from tests.unit.stages.attest.samples import (
    IMAGE,
    KEY,
    STRANGER,
    SUBJECT,
    TRUSTED,
    attach,
    attestations,
    names,
    odd_layers,
    other_layer,
    put_beside,
    record,
)

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry
    from tests.memory_registry import MemoryRegistry


def cleaned(registry: Registry) -> list[str]:
    messages: list[str] = []
    attest.clean(registry, SUBJECT, TRUSTED, messages.append)
    return messages


def test_where_nothing_is_in_the_way_nothing_is_touched(registry: MemoryRegistry, staging: Registry) -> None:
    """What a stranger signed is nobody's business here."""
    attach(staging, attest.sign(record(), KEY))
    attach(staging, attest.sign(record(), STRANGER))
    registry.writes.clear()
    assert cleaned(staging) == []
    assert registry.writes == []


def test_where_there_is_nothing_no_list_is_made(registry: MemoryRegistry, staging: Registry) -> None:
    registry.writes.clear()
    assert cleaned(staging) == []
    assert registry.writes == []


def test_what_is_no_statement_goes_from_the_registry_and_from_the_list(staging: Registry) -> None:
    ours = attach(staging, attest.sign(record(), KEY))
    broken = put_beside(staging, other_layer)
    assert cleaned(staging) == [
        f"{broken} removed: no trusted key signed it",
        f"tag sha256-{SUBJECT.hex} is a list again, of 1",
    ]
    assert names(staging) == [str(ours)]
    assert staging.manifest(broken) is None
    assert attestations(staging).rejected == ()
    assert cleaned(staging) == []


def test_what_is_only_listed_goes_from_the_list_and_is_not_removed(staging: Registry) -> None:
    """It refers to another image: whoever lists it here wants us to remove it there."""
    subject = Descriptor(OCI_MANIFEST, Digest(f"sha256:{'3' * 64}"), 9)
    other = put_beside(staging, lambda document: document.update(subject=subject.plain, layers=[]))
    ours = attach(staging, attest.sign(record(), KEY))
    entry = Descriptor(OCI_MANIFEST, other, 9, dsse.BUNDLE).plain
    gone = Descriptor(OCI_MANIFEST, Digest(f"sha256:{'4' * 64}"), 9, dsse.BUNDLE).plain
    current = staging.manifest(f"sha256-{SUBJECT.hex}")
    assert current
    listed = [*current.document["manifests"], entry, gone, "odd"]
    body = canonical({**current.document, "manifests": listed})
    staging.put_manifest(Manifest(body, OCI_INDEX), f"sha256-{SUBJECT.hex}")
    assert cleaned(staging) == [f"tag sha256-{SUBJECT.hex} is a list again, of 1"]
    assert names(staging) == [str(ours)]
    assert staging.manifest(other) is not None


def test_a_tag_that_shows_no_statement_goes(staging: Registry) -> None:
    """Only one of the form of a statement's own; the manifest behind it stays."""
    attach(staging, attest.sign(record(), KEY))
    tag, other = f"sha256-{SUBJECT.hex}.{'5' * 32}", f"sha256-{SUBJECT.hex}.sbom"
    staging.put_manifest(IMAGE, tag)
    staging.put_manifest(IMAGE, other)
    assert cleaned(staging) == [f"tag {tag} removed: it shows no statement"]
    assert staging.manifest(tag) is None
    assert staging.digest_of(other) == SUBJECT


@pytest.mark.parametrize("suffix", ["", ".att"])
def test_what_is_no_list_gives_way_to_one(registry: MemoryRegistry, staging: Registry, suffix: str) -> None:
    ours = attach(staging, attest.sign(record(), KEY))
    before = names(staging, suffix)
    tag = f"sha256-{SUBJECT.hex}{suffix}"
    registry.kept["a-staging"].manifests["sha256:x"] = (OCI_MANIFEST, b"{}")
    registry.kept["a-staging"].tags[tag] = "sha256:x"
    assert cleaned(staging) == [f"tag {tag} is a list again, of 0"]
    assert names(staging, suffix) == before
    found = staging.manifest(tag)
    assert found
    assert found.media_type == (OCI_MANIFEST if suffix else OCI_INDEX)
    assert attestations(staging).rejected == ()
    assert [one.manifest for one in attestations(staging).proofs] == [ours]


def test_where_ours_are_buried_all_that_nobody_trusts_goes(
    staging: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are read, to the one: as many as are read stay."""
    attach(staging, attest.sign(record(), KEY))
    theirs = attach(staging, attest.sign(record(), STRANGER))
    monkeypatch.setattr("pipeline.stages.attest.cleaning.MAX_REFERRERS", 2)
    assert cleaned(staging) == []
    monkeypatch.setattr("pipeline.stages.attest.cleaning.MAX_REFERRERS", 1)
    assert cleaned(staging) == [
        f"{theirs} removed: no trusted key signed it",
        f"tag sha256-{SUBJECT.hex} is a list again, of 1",
    ]
    assert [one.record for one in attestations(staging).proofs] == [record()]
    assert attestations(staging).rejected == ()


def test_tags_that_show_nothing_bury_ours_as_well(staging: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(staging, attest.sign(record(), KEY))
    theirs = attach(staging, attest.sign(record(), STRANGER))
    staging.put_manifest(IMAGE, f"sha256-{SUBJECT.hex}.{'5' * 32}")
    monkeypatch.setattr("pipeline.stages.attest.cleaning.MAX_REFERRERS", 2)
    cleaned(staging)
    assert staging.manifest(theirs) is None


def test_what_cannot_be_understood_is_not_removed(registry: MemoryRegistry, staging: Registry) -> None:
    """Nobody knows what refers to it; it goes from the list alone."""
    odd = put_beside(staging, odd_layers)
    kind, body = registry.kept["a-staging"].manifests[str(odd)]
    registry.kept["a-staging"].manifests[str(odd)] = kind, body.replace(b"subject", b"subjecT")
    assert cleaned(staging)[-1] == f"tag sha256-{SUBJECT.hex} is a list again, of 0"
    assert str(odd) in registry.kept["a-staging"].manifests


def test_more_than_is_read_is_still_cleaned(staging: Registry) -> None:
    """Which is what this is for."""
    entries = [
        Descriptor(
            OCI_MANIFEST, Digest(f"sha256:{number:064x}"), dsse.MAX_BUNDLE_BYTES + 1, dsse.BUNDLE
        ).plain
        for number in range(1001)
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    staging.put_manifest(Manifest(canonical(index), OCI_INDEX), f"sha256-{SUBJECT.hex}")
    with pytest.raises(RegistryError, match="1001 things refer to"):
        attestations(staging)
    assert cleaned(staging) == [f"tag sha256-{SUBJECT.hex} is a list again, of 0"]


def test_where_nothing_is_trusted_the_older_list_is_not_looked_at(
    registry: MemoryRegistry, staging: Registry
) -> None:
    registry.kept["a-staging"].manifests["sha256:x"] = (OCI_MANIFEST, b"{}")
    registry.kept["a-staging"].tags[f"sha256-{SUBJECT.hex}.att"] = "sha256:x"
    assert attestations(staging) == Attestations()
